//! Work split among threads so that no result depends on how many there are.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Inputs below which a thread is not worth starting.
const LEAST: usize = 256;

fn threads(work: usize) -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(work).max(1)
}

/// Gives each thread a stretch of inputs: its place, its rows (`width` numbers per input) and its slots. What `work` makes
/// of an input must depend on that input alone.
pub(crate) fn rows<T: Send>(
    rows: &mut [f64],
    width: usize,
    slots: &mut [T],
    work: impl Fn(usize, &mut [f64], &mut [T]) + Sync,
) {
    let each = slots.len().div_ceil(threads(slots.len().div_ceil(LEAST))).max(1);
    if each >= slots.len() {
        return work(0, rows, slots);
    }
    thread::scope(|scope| {
        for (i, (rows, slots)) in rows.chunks_mut(each * width).zip(slots.chunks_mut(each)).enumerate() {
            let work = &work;
            scope.spawn(move || work(i * each, rows, slots));
        }
    });
}

/// `work` of 0, 1, ... in order, by at most `most` threads. What it makes of a number must depend on that number alone.
pub(crate) fn each<T: Send>(count: usize, most: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let own = || {
        let mut made = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= count {
                return made;
            }
            made.push((i, work(i)));
        }
    };
    let workers = threads(count).min(most.max(1));
    let mut all = if workers == 1 {
        own()
    } else {
        thread::scope(|scope| {
            let handles: Vec<_> = (0..workers).map(|_| scope.spawn(own)).collect();
            handles.into_iter().flat_map(|h| h.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
        })
    };
    all.sort_unstable_by_key(|made| made.0);
    all.into_iter().map(|made| made.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        for most in [1, 2, 7] {
            assert_eq!(each(23, most, |i| i * i), (0..23).map(|i| i * i).collect::<Vec<_>>());
        }
        assert!(each(0, 4, |i| i).is_empty());
        let (mut wide, mut slots) = (vec![0.0; 3 * 1001], vec![0usize; 1001]);
        rows(&mut wide, 3, &mut slots, |first, rows, slots| {
            for (i, (row, slot)) in rows.chunks_mut(3).zip(slots).enumerate() {
                row.fill((first + i) as f64);
                *slot = first + i;
            }
        });
        assert!(slots.iter().enumerate().all(|(i, s)| i == *s));
        assert!(wide.iter().enumerate().all(|(i, v)| (i / 3) as f64 == *v));
    }
}
