//! Reading: the cases, and how they are measured.

use crate::Options;
use crate::contender::{self, Contender};
use crate::cpu;
use crate::images::Images;
use crate::report::{Bar, Report};
use crate::workload::{Pattern, Workload};

/// One line of the table for each contender: an image, how it is read, and what is expected of the engine.
struct Case {
    name: &'static str,
    image: &'static str,
    pattern: Pattern,
    bars: &'static [Bar],
}

const CASES: [Case; 7] = [
    Case {
        name: "sequential 1 MiB",
        image: "allocated",
        pattern: Pattern::Sequential,
        bars: &[Bar::OfRaw(1.05), Bar::OfRawInSmallPages(0.9)],
    },
    Case { name: "random 4 KiB", image: "allocated", pattern: Pattern::Random, bars: &[Bar::OfRaw(1.2)] },
    Case { name: "sparse random 4 KiB", image: "sparse", pattern: Pattern::Random, bars: &[Bar::OfRaw(0.34)] },
    Case { name: "deflate sequential", image: "deflate", pattern: Pattern::Sequential, bars: &[Bar::AheadOfPeers] },
    Case { name: "deflate random 4 KiB", image: "deflate", pattern: Pattern::RandomFew, bars: &[Bar::AheadOfPeers] },
    Case { name: "zstd sequential", image: "zstd", pattern: Pattern::Sequential, bars: &[Bar::AheadOfPeers] },
    Case { name: "zstd random 4 KiB", image: "zstd", pattern: Pattern::RandomFew, bars: &[Bar::AheadOfPeers] },
];

/// Measures the cases that are wanted; whether all bars hold.
pub(crate) fn run(options: &Options) -> bool {
    let cases: Vec<_> = CASES.iter().filter(|case| options.includes(case.name)).collect();
    if cases.is_empty() {
        return true;
    }
    let images = Images::prepare(&options.folder, options.mebibytes << 20);
    let missed = cases.iter().filter(|case| !measure(case, &images, options.rounds)).count();
    missed == 0
}

/// Measures a case and prints its table; whether the bars hold.
fn measure(case: &Case, images: &Images, rounds: usize) -> bool {
    let workload = Workload::new(case.pattern, images.size);
    images.warm(case.image);
    let mut raw = contender::raw(&images.raw(case.image));
    let mut contenders = contender::all(images, case.image);
    let mut report = Report::new(case.name);
    contenders.retain_mut(|contender| match contender.verify(&mut raw, &workload) {
        Ok(()) => true,
        Err(why) => {
            report.refused(contender.name(), &why);
            false
        }
    });
    // The page cache, the engines' caches, and the branch predictors.
    let mut measure_raw = || raw.measure(&workload, workload.raw_repeats());
    measure_raw();
    for contender in &mut contenders {
        contender.measure(&workload, 1);
    }
    for _ in 0..rounds {
        let mut before = measure_raw();
        for contender in &mut contenders {
            let time = contender.measure(&workload, 1);
            let after = measure_raw();
            report.add(contender.name(), time, (before + after) / 2.0);
            before = after;
        }
    }
    report.print(workload.offsets().len(), workload.length(), case.bars)
}

impl Contender {
    /// Whether it can read the image at all, and reads what the raw file has.
    fn verify(&mut self, raw: &mut Contender, workload: &Workload) -> Result<(), String> {
        let (Self::Reader { reader: Ok(reader), .. }, Self::Reader { reader: Ok(raw), .. }) = (&mut *self, raw) else {
            return match self {
                Self::Reader { reader: Err(why), .. } => Err(why.clone()),
                _ => Ok(()),
            };
        };
        let [mut found, mut expected] = [workload.buffer(), workload.buffer()];
        for offset in workload.sample() {
            reader.read(offset, &mut found)?;
            raw.read(offset, &mut expected)?;
            if *found != *expected {
                return Err(format!("reads something else at {offset}"));
            }
        }
        Ok(())
    }

    /// The CPU time of the workload in seconds: the mean of `repeats`.
    fn measure(&mut self, workload: &Workload, repeats: u32) -> f64 {
        match self {
            Self::Reader { reader: Ok(reader), .. } => {
                let mut buffer = workload.buffer();
                let time = cpu::time(|| {
                    for &offset in (0..repeats).flat_map(|_| workload.offsets()) {
                        reader.read(offset, &mut buffer).expect("it has been verified");
                    }
                });
                time / f64::from(repeats)
            }
            Self::Program { command, .. } => command(workload),
            Self::Reader { reader: Err(_), .. } => unreachable!("it has been left out"),
        }
    }
}
