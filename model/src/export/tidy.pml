proctype tidy()
{
    do
    :: atomic {
        after?whose,what ->
        d_step {
            if :: what & LEAVE -> leave(whose) :: else fi;
            if :: what & COLLECT -> collect(whose) :: else fi;
            if :: what & NORMALISE -> normalise() :: else fi
        }
    }
    od
}

