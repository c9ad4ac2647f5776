//! Crashes in a repair: every state that one may leave is no worse than the image before, and can be repaired.

use qcow2_web::{CheckOptions, Finding, Repair, RepairOptions, Verdict, check, repair};

use super::bases;
use super::damage::{Damaged, all_fields};
use super::findings::number_from_environment;
use super::repair::{Beside, first_lost, read};
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::now;
use crate::rig::machine::{Event, Machine};
use crate::rig::replay::{Loss, Replay};

const IMAGES: u64 = 60;

/// What is wrong, but for flags that are missing, which do no harm.
fn harm(bytes: &[u8]) -> Option<u64> {
    let machine = Machine::new(vec![bytes.to_vec()]);
    let report = now(check(&machine.file(0), CheckOptions::new().max_findings(usize::MAX))).ok()?;
    let missing = |finding: &&Finding| {
        matches!(finding, Finding::L1Copied { flag: false, .. } | Finding::L2Copied { flag: false, .. })
    };
    Some(report.corruptions + report.check_errors - report.findings.iter().filter(missing).count() as u64)
}

#[test]
fn a_crash_in_a_repair_leaves_the_image_no_worse() {
    let lab = Lab::new();
    let bases = bases::all(&lab);
    let fields = all_fields(&bases);
    let beside = Beside::of(&lab);
    let mut states = 0;
    let first = number_from_environment("CHECK_SEED", 0);
    for seed in first..first + number_from_environment("CHECK_IMAGES", IMAGES) {
        let mut random = Random::seeded(seed ^ 0xc4a5);
        let damaged = Damaged::any(&bases, &fields, &mut random);
        let bytes = damaged.bytes(&bases);
        let (Some(harm_before), Some(before)) = (harm(&bytes), read(&bytes, &beside)) else { continue };
        let which = random.pick(&[Repair::Leaks, Repair::All, Repair::All]);
        let machine = Machine::new(vec![bytes.clone()]);
        now(repair(&machine.file(0), RepairOptions::new(which))).unwrap();
        let mut replay = Replay::new(vec![bytes]);
        let views = replay.views();
        let log = machine.take_log();
        // Long repairs have many writes alike.
        let every = (log.len() / 40).max(1);
        for (position, event) in log.iter().enumerate() {
            replay.step(event);
            if matches!(event, Event::Note(_)) || position % every != 0 {
                continue;
            }
            for loss in [Loss::OnlyUnderWay, random.pick(&Loss::RANDOM), random.pick(&Loss::RANDOM)] {
                if replay.show(loss, &mut random) {
                    let state = views[0].files().remove(0);
                    let context = || {
                        format!("CHECK_SEED={seed} {} {which:?}, event {position}, {loss:?}", damaged.describe(&bases))
                    };
                    let now_harm = harm(&state).unwrap_or_else(|| panic!("{}: it can't be checked", context()));
                    assert!(now_harm <= harm_before, "{}: {now_harm} findings, before {harm_before}", context());
                    let after = read(&state, &beside).unwrap_or_else(|| panic!("{}: it doesn't open", context()));
                    assert_eq!(first_lost(&before, &after), None, "{}", context());
                    let machine = Machine::new(vec![state]);
                    let again =
                        now(repair(&machine.file(0), RepairOptions::new(Repair::All).accept_loss(true))).unwrap();
                    assert_eq!(again.after.verdict(), Verdict::Clean, "{}: {:?}", context(), again.after);
                    states += 1;
                }
                replay.restore();
            }
        }
    }
    println!("{states} states");
    assert!(states > 0);
}
