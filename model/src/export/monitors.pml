/* ==== The properties ===================================================================================
 * Each is there if its name is defined; then its violation is an assertion that fails.
 */

/* fresh: of each query that is under way, the answers that were true at some moment since it began, as a mask. */
#ifdef FRESH
byte asked[THREADS];
int answers[THREADS];
hidden int found;
#define ANSWERED(t, bit) assert(answers[t] & (1 << (bit)))
#define ANSWERED_OTHERWISE assert(false)
#else
#define ANSWERED(t, bit) skip
#define ANSWERED_OTHERWISE skip
#endif
#ifdef FRESH
#define ASK(t, query) asked[t] = query; d_step { answers_of(query); answers[t] = found }
#else
#define ASK(t, query) skip
#endif

/* exclusive: the locks of the lock library that a thread holds, for each lock a stack of modes as digits to base 3. */
#ifdef HOLDS
byte holds[THREADS * LOCKS];
#define HOLDS_EXCLUSIVE(t, l) (holds[(t) * LOCKS + (l)] % 3 == EXCLUSIVE || holds[(t) * LOCKS + (l)] / 3 % 3 == EXCLUSIVE \
    || holds[(t) * LOCKS + (l)] / 9 % 3 == EXCLUSIVE || holds[(t) * LOCKS + (l)] / 27 % 3 == EXCLUSIVE)
#endif
inline acquired(p, t, l, mode)
{
#ifdef HOLDS
    assert(holds[(t) * LOCKS + (l)] < 27 || unlearned); /* a lock is held four times at most */
#if defined(EXCLUSIVE_LOCKS) || defined(MUTUAL_EXCLUSION)
    for (i : 0 .. THREADS - 1) {
        assert(i == t || OWNER(i) != p || !holds[i * LOCKS + (l)] || (mode == SHARED && !HOLDS_EXCLUSIVE(i, l)))
    }
    assert(HELD(p, l) == EXCLUSIVE || (HELD(p, l) == SHARED && mode == SHARED));
#endif
    holds[(t) * LOCKS + (l)] = holds[(t) * LOCKS + (l)] * 3 + mode
#else
    skip
#endif
}
#ifdef HOLDS
#define ACQUIRED(p, t, l, mode) d_step { acquired(p, t, l, mode) }
#else
#define ACQUIRED(p, t, l, mode) skip
#endif
inline release(t, l)
{
#ifdef HOLDS
    holds[(t) * LOCKS + (l)] = holds[(t) * LOCKS + (l)] / 3
#else
    skip
#endif
}
inline judge_read(p, t, l)
{
#ifdef EXCLUSIVE_LOCKS
    assert(holds[(t) * LOCKS + (l)] && HELD(p, l))
#else
    skip
#endif
}
inline judge_write(p, t, l)
{
#ifdef EXCLUSIVE_LOCKS
    assert(HOLDS_EXCLUSIVE(t, l) && HELD(p, l) == EXCLUSIVE)
#else
    skip
#endif
}

/* no-lost-update: a document is replaced only by a writer that knew what it held. */
#ifdef NO_LOST_UPDATE
#define KNEW(d, base) assert(document[d] == (base) || (EMPTY(document[d]) && EMPTY(base)))
#else
#define KNEW(d, base) skip
#endif

/* no-panic */
inline panic(p)
{
#ifdef NO_PANIC
    assert(false);
#endif
    die(p)
}

/* no-error: no call returns an error. */
#ifdef NO_ERROR
#define FAILED assert(false)
#else
#define FAILED skip
#endif

/* no-data-race: the cell that a thread stands before, twice its number, plus one to read and two to write. */
#ifdef NO_DATA_RACE
byte access[THREADS];
#define STANDS_BEFORE(t, what) access[t] = what
#define CONFLICT(i, j) (access[i] && access[j] && (access[i] - 1) / 2 == (access[j] - 1) / 2 && !((access[i] & 1) && (access[j] & 1)))
#define JUDGE_RACE(p) assert(!ready[p] || !RACES(p))
#else
#define STANDS_BEFORE(t, what) skip
#define JUDGE_RACE(p) skip
#endif

/* crash-safe: the layers that were acknowledged and not deleted since, those that were deleted and not made since, and
 * the incomplete ones whose writer is dead, as masks of layers; of each thread, the layer that it is making, plus one. */
#ifdef CRASH_SAFE
int acknowledged;
int deleted;
int half_made;
byte making[THREADS];
hidden int complete, incomplete;
#endif
inline makes(t, layer)
{
#ifdef CRASH_SAFE
    making[t] = (layer) + 1
#else
    skip
#endif
}
/* What a reply says that it saw, and what it acknowledges. */
inline replied(seen, made)
{
#ifdef CRASH_SAFE
    assert(!(half_made & (seen)));
    acknowledged = acknowledged | ((made) & ~deleted)
#else
    skip
#endif
}

/* A document that answers are judged by was replaced, by a call that deletes a layer if there is a mask. */
inline contents_replaced(mask)
{
#ifdef FRESH
    for (i : 0 .. THREADS - 1) {
        if
        :: asked[i] -> answers_of(asked[i]); answers[i] = answers[i] | found
        :: else
        fi
    }
#endif
#ifdef CRASH_SAFE
    layers_in(document[LAYERS]);
    half_made = half_made & incomplete;
    deleted = (deleted | (mask)) & ~complete;
    acknowledged = acknowledged & ~deleted;
    assert(!(acknowledged & ~complete));
#endif
    skip
}

#if defined(FRESH) || defined(CRASH_SAFE)
#define CONTENTS_REPLACED(mask) d_step { contents_replaced(mask) }
#else
#define CONTENTS_REPLACED(mask) skip
#endif

inline forget_monitors(t)
{
#ifdef FRESH
    asked[t] = 0; answers[t] = 0;
#endif
#ifdef NO_DATA_RACE
    access[t] = 0;
#endif
#ifdef CRASH_SAFE
    making[t] = 0;
#endif
#ifdef HOLDS
    for (j : 0 .. LOCKS - 1) { holds[(t) * LOCKS + j] = 0 }
#endif
    skip
}

inline ends(t)
{
    begun[t] = 0;
#ifdef FRESH
    asked[t] = 0; answers[t] = 0;
#endif
#ifdef CRASH_SAFE
    making[t] = 0;
#endif
    skip
}
