/* ==== The world ========================================================================================
 * What operations do. A thread performs each in one atomic sequence that never blocks once its guard is true; who is
 * next is SPIN's choice.
 */

#define SHARED 1
#define EXCLUSIVE 2

/* Always 0. `assert(unlearned)` is where a run comes to that the explorer did not while it learned the automata. */
hidden byte unlearned;

/* A process that was killed, or that panicked. */
bit dead[PROCESSES];
/* Whether the calls are over that a process makes before its other threads start. */
bit ready[PROCESSES];
/* Whether a thread is inside a call, and whether it has made its last one. */
bit begun[THREADS];
bit finished[THREADS];

/* With -DMERGE, what a process with one thread does to its own memory is not interleaved with the others: they wait
 * until it stands before something that concerns them. `turn` is the thread that goes on, plus one. */
#ifdef MERGE
byte turn;
#define TURN(t) (turn == 0 || turn == (t) + 1)
#define KEEP(t) turn = (t) + 1
#define KEEP_IF(free, t) turn = (free -> (t) + 1 : 0)
#define YIELD turn = 0
#else
#define TURN(t) (true)
#define KEEP(t) skip
#define KEEP_IF(free, t) skip
#define YIELD skip
#endif
#define MAY(p, t) (!dead[p] && TURN(t))

/* ---- Record locks (fcntl(2)) --------------------------------------------------------------------------
 * A lock belongs to the process; taken again it has the new mode; any close of the file drops it. A request that has
 * to wait is a step, and its grant is another; waiters are granted in no order. EXCLUDED, CERTAIN and POSSIBLE (does
 * another process hold it so that this one has to wait; does the kernel find a cycle of blocked owners, whichever
 * holder it follows; if it follows the right one) are written out for the processes of this file above. */
byte held[PROCESSES * LOCKS];
byte wants[THREADS];
byte wants_mode[THREADS];
#define HELD(p, l) held[(p) * LOCKS + (l)]
inline grant(p, t, l, mode) { HELD(p, l) = mode; wants[t] = 0; wants_mode[t] = 0 }
inline request(t, l, mode) { wants[t] = (l) + 1; wants_mode[t] = mode }
inline drop(p, l) { HELD(p, l) = 0 }

/* ---- Stamps, objects, times ---------------------------------------------------------------------------
 * A stamp or an object is a number above 0. What a thread knows of them in a call is in its registers; what a cell
 * holds of them is in the slots of the cell. A new one is the smallest number that nothing holds. */
byte stamp[LOCKS];
byte stamp_register[THREADS * STAMP_REGISTERS];
byte stamp_slot[PROCESSES * STAMP_SLOTS];
byte object_register[THREADS * OBJECT_REGISTERS];
byte object_slot[PROCESSES * OBJECT_SLOTS];
byte time_register[THREADS * TIME_REGISTERS];
byte time_slot[PROCESSES * TIME_SLOTS];
hidden byte i, j, fresh, nth, coarse, latest;
hidden byte used[NUMBERS];
hidden byte dense[NUMBERS];
hidden byte moved[REGISTERS];

inline write_stamp(l)
{
    for (i : 1 .. NUMBERS - 1) { used[i] = 0 }
    for (i : 0 .. LOCKS - 1) { used[stamp[i]] = 1 }
    for (i : 0 .. THREADS * STAMP_REGISTERS - 1) { used[stamp_register[i]] = 1 }
    for (i : 0 .. PROCESSES * STAMP_SLOTS - 1) { used[stamp_slot[i]] = 1 }
    fresh = 1;
    do :: used[fresh] -> fresh++ :: else -> break od;
    stamp[l] = fresh
}

inline new_object(p)
{
    for (i : 1 .. OBJECTS) { used[i] = 0 }
    for (i : 0 .. THREADS - 1) {
        if
        :: OWNER(i) == p ->
            for (j : 0 .. OBJECT_REGISTERS - 1) { used[object_register[i * OBJECT_REGISTERS + j]] = 1 }
        :: else
        fi
    }
    for (i : 0 .. OBJECT_SLOTS - 1) { used[object_slot[(p) * OBJECT_SLOTS + i]] = 1 }
    fresh = 1;
    do :: fresh <= OBJECTS && used[fresh] -> fresh++ :: else -> break od;
    assert(fresh <= OBJECTS || unlearned)
}

/* ---- Memory of a process: cells, sync.Mutex, sync.RWMutex ---------------------------------------------
 * A cell holds the number of a value (below), and what that has of stamps, objects and times in its slots. */
short cell[PROCESSES * CELLS];
#define CELL(p, c) cell[(p) * CELLS + (c)]

/* The cells of an object that nothing points to are gone. */
inline collect(p)
{
    for (i : 1 .. OBJECTS) { used[i] = 0 }
    for (i : 0 .. THREADS - 1) {
        if
        :: OWNER(i) == p ->
            for (j : 0 .. OBJECT_REGISTERS - 1) { used[object_register[i * OBJECT_REGISTERS + j]] = 1 }
        :: else
        fi
    }
#if OBJECT_SLOTS_OF_PROCESS
    for (i : 0 .. OBJECT_SLOTS_OF_PROCESS - 1) { used[object_slot[(p) * OBJECT_SLOTS + i]] = 1 }
#endif
#if OBJECT_SLOTS_OF_OBJECT
    for (nth : 1 .. OBJECTS) {
        for (i : 1 .. OBJECTS) {
            if
            :: used[i] ->
                for (j : 0 .. OBJECT_SLOTS_OF_OBJECT - 1) {
                    used[object_slot[(p) * OBJECT_SLOTS + OBJECT_SLOTS_OF_PROCESS + (i - 1) * OBJECT_SLOTS_OF_OBJECT + j]] = 1
                }
            :: else
            fi
        }
    }
#endif
    for (i : 1 .. OBJECTS) {
        if
        :: !used[i] -> forget_object(p, i - 1)
        :: else
        fi
    };
    skip
}

inline forget_object(p, o)
{
#if CELLS_OF_OBJECT
    for (j : 0 .. CELLS_OF_OBJECT - 1) { CELL(p, CELLS_OF_PROCESS + (o) * CELLS_OF_OBJECT + j) = 0 }
#endif
#if STAMP_SLOTS_OF_OBJECT
    for (j : 0 .. STAMP_SLOTS_OF_OBJECT - 1) {
        stamp_slot[(p) * STAMP_SLOTS + STAMP_SLOTS_OF_PROCESS + (o) * STAMP_SLOTS_OF_OBJECT + j] = 0
    }
#endif
#if OBJECT_SLOTS_OF_OBJECT
    for (j : 0 .. OBJECT_SLOTS_OF_OBJECT - 1) {
        object_slot[(p) * OBJECT_SLOTS + OBJECT_SLOTS_OF_PROCESS + (o) * OBJECT_SLOTS_OF_OBJECT + j] = 0
    }
#endif
#if TIME_SLOTS_OF_OBJECT
    for (j : 0 .. TIME_SLOTS_OF_OBJECT - 1) {
        time_slot[(p) * TIME_SLOTS + TIME_SLOTS_OF_PROCESS + (o) * TIME_SLOTS_OF_OBJECT + j] = 0
    }
#endif
    skip
}

/* The thread that has a mutex, counted from 1 in its process. */
byte mutex[PROCESSES * MUTEXES];
#define MUTEX(p, m) mutex[(p) * MUTEXES + (m)]

/* A waiting writer holds off new readers; when it leaves, the readers that came meanwhile are let in all at once, and
 * count as readers before they have woken (src/sync/rwmutex.go). Sets of threads are masks. */
byte readers[PROCESSES * RWMUTEXES];
byte writer[PROCESSES * RWMUTEXES];
bit writing[PROCESSES * RWMUTEXES];
byte late[PROCESSES * RWMUTEXES];
byte admitted[PROCESSES * RWMUTEXES];
#define READERS(p, m) readers[(p) * RWMUTEXES + (m)]
#define WRITER(p, m) writer[(p) * RWMUTEXES + (m)]
#define WRITING(p, m) writing[(p) * RWMUTEXES + (m)]
#define LATE(p, m) late[(p) * RWMUTEXES + (m)]
#define ADMITTED(p, m) admitted[(p) * RWMUTEXES + (m)]
#define BIT(set, at) (((set) >> at) & 1)
inline rw_unlock(p, m)
{
    WRITER(p, m) = 0;
    WRITING(p, m) = 0;
    ADMITTED(p, m) = LATE(p, m);
    READERS(p, m) = READERS(p, m) + BIT(LATE(p, m), 0) + BIT(LATE(p, m), 1) + BIT(LATE(p, m), 2) + BIT(LATE(p, m), 3);
    READERS(p, m) = READERS(p, m) + BIT(LATE(p, m), 4) + BIT(LATE(p, m), 5) + BIT(LATE(p, m), 6) + BIT(LATE(p, m), 7);
    LATE(p, m) = 0
}

/* ---- Documents and clocks -----------------------------------------------------------------------------
 * A document holds the number of a value. Times are ranks: even for the coarse clock of the filesystem, odd for what a
 * fine clock says between two of its ticks. After each step that may change which are held they are made dense; no two of
 * them become one, for a thread that holds both would have one register less. */
short document[DOCUMENTS];
byte clock = 2;
byte mtime[TIMED];
inline normalise()
{
    for (i : 1 .. NUMBERS - 1) { dense[i] = 0 }
    dense[clock] = 1;
    for (i : 0 .. TIMED - 1) { dense[mtime[i]] = 1 }
    for (i : 0 .. THREADS * TIME_REGISTERS - 1) { dense[time_register[i]] = 1 }
    for (i : 0 .. PROCESSES * TIME_SLOTS - 1) { dense[time_slot[i]] = 1 }
    dense[0] = 0;
    coarse = 0;
    latest = 0;
    for (i : 1 .. NUMBERS - 1) {
        if
        :: dense[i] && i % 2 == 0 -> coarse = coarse + 2; dense[i] = coarse; latest = coarse
        :: dense[i] && i % 2 == 1 ->
            coarse = (latest == coarse + 1 -> coarse + 2 : coarse);
            dense[i] = coarse + 1;
            latest = dense[i]
        :: else
        fi
    }
    clock = dense[clock];
    for (i : 0 .. TIMED - 1) { mtime[i] = dense[mtime[i]] }
    for (i : 0 .. THREADS * TIME_REGISTERS - 1) { time_register[i] = dense[time_register[i]] }
    for (i : 0 .. PROCESSES * TIME_SLOTS - 1) { time_slot[i] = dense[time_slot[i]] }
    skip
}

/* ---- The end of a call, and of a process --------------------------------------------------------------- */
inline forget_registers(t)
{
    for (j : 0 .. STAMP_REGISTERS - 1) { stamp_register[(t) * STAMP_REGISTERS + j] = 0 }
    for (j : 0 .. OBJECT_REGISTERS - 1) { object_register[(t) * OBJECT_REGISTERS + j] = 0 }
    for (j : 0 .. TIME_REGISTERS - 1) { time_register[(t) * TIME_REGISTERS + j] = 0 }
    skip
}

/* A process is gone: its memory and its locks are, too. */
inline leave(p)
{
    for (i : 0 .. LOCKS - 1) { HELD(p, i) = 0 }
    for (i : 0 .. CELLS - 1) { CELL(p, i) = 0 }
    for (i : 0 .. STAMP_SLOTS - 1) { stamp_slot[(p) * STAMP_SLOTS + i] = 0 }
    for (i : 0 .. OBJECT_SLOTS - 1) { object_slot[(p) * OBJECT_SLOTS + i] = 0 }
    for (i : 0 .. TIME_SLOTS - 1) { time_slot[(p) * TIME_SLOTS + i] = 0 }
    for (i : 0 .. MUTEXES - 1) { MUTEX(p, i) = 0 }
    for (i : 0 .. RWMUTEXES - 1) {
        READERS(p, i) = 0; WRITER(p, i) = 0; WRITING(p, i) = 0; LATE(p, i) = 0; ADMITTED(p, i) = 0
    }
    for (i : 0 .. THREADS - 1) {
        if
        :: OWNER(i) == p ->
            wants[i] = 0; wants_mode[i] = 0; begun[i] = 0;
            forget_registers(i);
            forget_monitors(i)
        :: else
        fi
    };
    skip
}

/* What a step ends with that has loops: a thread hands it over, and the step goes on in `tidy` without a break. */
#define LEAVE 1
#define LEAVE_IF(all_done) (all_done -> LEAVE : 0)
#define COLLECT 2
#define NORMALISE 4
chan after = [0] of { byte, byte };
hidden byte whose, what;

inline die(p)
{
    dead[p] = 1;
    ready[p] = 0;
    YIELD;
    leave(p);
    normalise()
}
