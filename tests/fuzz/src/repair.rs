//! Checking and repairing: the input is the image.

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, Finding, Repair, RepairOptions, Verdict, check, repair};

use crate::check::check_error;
use crate::limits::{ready, within_memory};

/// The tables that an image may claim, in memory and at the end of the file.
const MEMORY: usize = 256 << 20;
/// The work grows with the square of it, and more where tables are shared.
const LONGEST: usize = 32 << 10;

/// Checks the input, and repairs it in every way: it is sound afterwards, or no worse.
pub fn repairs(input: &[u8]) {
    if input.len() > LONGEST {
        return;
    }
    within_memory(MEMORY, || {
        for (which, accept_loss) in [(Repair::Leaks, false), (Repair::All, false), (Repair::All, true)] {
            let image = MemoryStorage::from(input.to_vec());
            let options = RepairOptions::new(which).accept_loss(accept_loss);
            let report = match ready(repair(&image, options)) {
                Ok(report) => report,
                Err(error) => {
                    check_error(&error);
                    assert!(error.code() == "IMAGE_FULL" || image.into_bytes() == input, "{error}: nothing is written");
                    continue;
                }
            };
            let again = ready(check(&image, CheckOptions::new())).expect("it could be checked");
            assert_eq!(again, report.after);
            let missing = |finding: &&Finding| {
                matches!(finding, Finding::L1Copied { flag: false, .. } | Finding::L2Copied { flag: false, .. })
            };
            match which {
                Repair::All if accept_loss => assert_eq!(again.verdict(), Verdict::Clean, "{again:?}"),
                Repair::All => {}
                Repair::Leaks => {
                    let harmless = again.findings.iter().filter(missing).count() as u64 + again.unlisted;
                    assert!(again.corruptions <= report.before.corruptions + harmless, "{again:?}");
                }
            }
        }
    });
}
