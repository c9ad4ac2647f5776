//! CPU time.

/// Of `body` in this process, in seconds.
pub(crate) fn time(body: impl FnOnce()) -> f64 {
    let before = process_time();
    body();
    process_time() - before
}

/// Of the children that `body` runs and waits for, in seconds.
pub(crate) fn time_of_children(body: impl FnOnce()) -> f64 {
    let before = children_time();
    body();
    children_time() - before
}

fn process_time() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec of our own.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn children_time() -> f64 {
    // SAFETY: a rusage is plain numbers, and the pointer is to one of our own.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}
