//! Finding out which steps of a failure matter.

/// As few of `steps` as still fail, in their order: none of them can be left out alone.
pub fn fewest<T: Clone>(mut steps: Vec<T>, fails: impl Fn(&[T]) -> bool) -> Vec<T> {
    let mut length = steps.len().next_power_of_two();
    while length > 0 {
        let mut start = 0;
        let mut any = false;
        while start < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(start..(start + length).min(steps.len()));
            if fails(&fewer) {
                steps = fewer;
                any = true;
            } else {
                start += length;
            }
        }
        // What one step needed may be needless without it.
        if !any || length > 1 {
            length /= 2;
        }
    }
    steps
}

#[test]
fn only_what_matters_is_left() {
    let needs_three_then_five = |steps: &[u32]| {
        let three = steps.iter().position(|step| *step == 3);
        three.is_some_and(|at| steps[at..].contains(&5))
    };
    assert_eq!(fewest((0..100).collect(), needs_three_then_five), [3, 5]);
    assert_eq!(fewest(vec![5, 3, 5, 3], needs_three_then_five), [3, 5]);
    assert!(fewest(vec![1, 2], |_| true).is_empty());
}
