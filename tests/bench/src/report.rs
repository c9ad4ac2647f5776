//! The table of a case.

use std::fmt;

use crate::contender::{ENGINE, SMALL_PAGES};

/// What is asked of the engine.
pub(crate) enum Bar {
    /// At most so much of the CPU time that the raw file takes.
    OfRaw(f64),
    /// The same, of a raw file in small pages: the one that the figures of the field were measured against.
    OfRawInSmallPages(f64),
    /// Less than any peer takes.
    AheadOfPeers,
}

pub(crate) struct Report {
    case: &'static str,
    rows: Vec<Row>,
    refusals: Vec<(&'static str, String)>,
}

struct Row {
    name: &'static str,
    /// CPU seconds, and the raw file's beside them.
    rounds: Vec<(f64, f64)>,
}

impl Report {
    pub(crate) fn new(case: &'static str) -> Self {
        Self { case, rows: Vec::new(), refusals: Vec::new() }
    }

    pub(crate) fn refused(&mut self, name: &'static str, why: &str) {
        self.refusals.push((name, why.into()));
    }

    pub(crate) fn add(&mut self, name: &'static str, time: f64, raw: f64) {
        match self.rows.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push((time, raw)),
            None => self.rows.push(Row { name, rounds: vec![(time, raw)] }),
        }
    }

    /// Whether the engine keeps within its bar, and ahead of its peers where it must be.
    ///
    /// A round was of `requests` requests, of `length` bytes each.
    pub(crate) fn print(&self, requests: usize, length: usize, bars: &[Bar]) -> bool {
        let requests = requests as f64;
        let gibibytes = requests * length as f64 / (1_u64 << 30) as f64;
        println!("\n{}", self.case);
        println!("  {:<28}{:>9}{:>19}{:>12}{:>12}", "", "ratio", "least – most", "µs each", "s a GiB");
        for row in &self.rows {
            let ratio = row.ratios();
            let time = median(row.rounds.iter().map(|round| round.0));
            println!(
                "  {:<28}{:>9.3}{:>19}{:>12.3}{:>12.3}",
                row.name,
                median(ratio.iter().copied()),
                format!("{:.3} – {:.3}", ratio[0], ratio[ratio.len() - 1]),
                time / requests * 1e6,
                time / gibibytes
            );
        }
        for (name, why) in &self.refusals {
            println!("  {name:<28}  none: {why}");
        }
        let mut all_hold = true;
        for bar in bars {
            let (asked, found) = self.judge(bar);
            let holds = found <= asked;
            println!("  {bar}: {found:.3}, at most {asked:.3}: {}", if holds { "holds" } else { "DOES NOT HOLD" });
            all_hold &= holds;
        }
        all_hold
    }

    /// What is asked at most, and what the engine takes.
    fn judge(&self, bar: &Bar) -> (f64, f64) {
        let engine = self.ratio(ENGINE);
        match bar {
            Bar::OfRaw(most) => (*most, engine),
            Bar::OfRawInSmallPages(most) => (*most, engine / self.ratio(SMALL_PAGES)),
            Bar::AheadOfPeers => {
                let peers = self.rows.iter().map(|row| row.name).filter(|name| ![ENGINE, SMALL_PAGES].contains(name));
                (peers.map(|name| self.ratio(name)).fold(f64::INFINITY, f64::min), engine)
            }
        }
    }

    /// Infinite for one that could not be measured.
    fn ratio(&self, name: &str) -> f64 {
        let row = self.rows.iter().find(|row| row.name == name);
        row.map_or(f64::INFINITY, |row| median(row.ratios().into_iter()))
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OfRaw(_) => "against the raw file",
            Self::OfRawInSmallPages(_) => "against the raw file in small pages",
            Self::AheadOfPeers => "against the best peer",
        })
    }
}

impl Row {
    /// In ascending order.
    fn ratios(&self) -> Vec<f64> {
        let mut ratios: Vec<_> = self.rounds.iter().map(|(time, raw)| time / raw).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
