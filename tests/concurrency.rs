//! Requests that overlap, complete in any order, fail, or are dropped at any await.
//!
//! The storage holds every read until the test lets it go, and the executor polls only what was woken: so a lost
//! wake-up, a table that is loaded twice and a request that outlives its future all show.

use std::sync::LazyLock;

use qcow2_web::{BackingFile, Image, Step};

use crate::common::builder::{Builder, Built, Cluster};
use crate::common::deflate::compressed;
use crate::common::disk::{Disk, Stage};
use crate::common::executor::{Handle, Tasks};
use crate::common::random::Random;
use crate::common::reading::{DiskError, alone, assert_same, extents, frugal, now, range, ranges, whole};
use crate::common::{KIB, index};

const CLUSTER: u64 = 4 * KIB;
const SIZE: u64 = 4 << 20;

/// Every third cluster in use, some compressed; the second half of the disk has an L2 table of its own.
fn plan() -> Builder {
    let mut random = Random::seeded(1);
    let mut plan = Builder::new(CLUSTER, SIZE).backed_by("base", Some("raw"));
    for guest in (0..SIZE / CLUSTER).step_by(3) {
        let unpacked = random.text(index(CLUSTER));
        let cluster = match guest % 4 {
            0 => Cluster::Compressed { stream: compressed(&unpacked, 4096), unpacked },
            1 => Cluster::Zero,
            _ => Cluster::Data(unpacked),
        };
        plan = plan.with(guest, cluster);
    }
    plan
}

fn base() -> Vec<u8> {
    static BASE: LazyLock<Vec<u8>> = LazyLock::new(|| Random::seeded(2).text(index(SIZE / 2)));
    BASE.clone()
}

/// The image and its backing file over storages that hold every read; opened, and with nothing held.
fn open_held(stage: &Stage, built: &Built) -> (Image<Disk>, Disk) {
    let disk = Disk::held(built.bytes.clone(), stage);
    let options = frugal(alone()).backing(vec![BackingFile::from(Disk::held(base(), stage))]);
    let mut tasks = Tasks::default();
    let opened = tasks.spawn(Image::open(disk.clone(), options));
    finish(&mut tasks, stage);
    let image = opened.take().unwrap().unwrap();
    disk.forget_reads();
    (image, disk)
}

/// Lets everything go, oldest first, until all tasks are done.
fn finish(tasks: &mut Tasks, stage: &Stage) {
    tasks.run();
    while tasks.unfinished() > 0 {
        assert!(!stage.waiting().is_empty(), "a task waits, and not for the storage");
        stage.release_all();
        tasks.run();
    }
}

#[test]
fn reads_of_one_table_load_it_once() {
    let (stage, built) = (Stage::default(), plan().build());
    let (image, disk) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    // Cluster 3 is data, and so is 27; nothing of the tables is in the cache yet.
    let reads: Vec<_> = (0..20).map(|at| tasks.spawn(range(&image, 3 * CLUSTER + at * 100, 100))).collect();
    tasks.run();
    assert_eq!(stage.waiting().len(), 1, "one request for the L1 table");
    stage.release_all();
    tasks.run();
    assert_eq!(stage.waiting().len(), 1, "one request for the L2 table");
    finish(&mut tasks, &stage);
    assert!(reads.iter().all(Handle::is_done));
    let table_reads = disk.reads().iter().filter(|read| read.end - read.start == 4096).count();
    assert_eq!(table_reads, 2, "{:?}", disk.reads());
}

#[test]
fn reads_overlap() {
    let (stage, built) = (Stage::default(), plan().build());
    let (image, _) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    // Data of the image, and of its backing file.
    let places = [3, 4, 5, 15, 16, 27];
    let reads: Vec<_> = places.iter().map(|cluster| tasks.spawn(range(&image, cluster * CLUSTER, CLUSTER))).collect();
    for _ in 0..2 {
        tasks.run();
        stage.release_all();
    }
    tasks.run();
    assert_eq!(stage.waiting().len(), places.len(), "none waits for another");
    // The last one first: each completes by itself.
    for (number, _) in stage.waiting().into_iter().rev() {
        let before = tasks.unfinished();
        stage.release(number);
        tasks.run();
        assert_eq!(tasks.unfinished(), before - 1);
    }
    assert!(reads.iter().all(Handle::is_done));
}

#[test]
fn one_read_of_many_pieces_asks_for_several_at_once() {
    let (stage, built) = (Stage::default(), plan().build());
    let (image, _) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    let read = tasks.spawn(whole(&image));
    let mut most = 0;
    tasks.run();
    while tasks.unfinished() > 0 {
        most = most.max(stage.waiting().len());
        stage.release_all();
        tasks.run();
    }
    assert!((8..=64).contains(&most), "{most} requests at once");
    assert_same(&read.take().unwrap().unwrap(), &built.contents(&base()), "the disk");
}

#[test]
fn any_order_of_completion_gives_the_same_bytes() {
    let built = plan().build();
    let contents = built.contents(&base());
    for seed in 0..40 {
        let mut random = Random::seeded(seed);
        let stage = Stage::default();
        let (image, _) = open_held(&stage, &built);
        let mut tasks = Tasks::default();
        let mut reads = Vec::new();
        let mut wanted = ranges(&mut random, SIZE / 2, 24);
        while tasks.unfinished() > 0 || !wanted.is_empty() {
            // Begin one, or let one go.
            let waiting = stage.waiting();
            match wanted.pop() {
                Some(next) if waiting.is_empty() || random.one_in(3) => {
                    reads.push((next, tasks.spawn(range(&image, next.0, next.1))));
                }
                next => {
                    wanted.extend(next);
                    assert!(!waiting.is_empty(), "seed {seed}: a task waits, and not for the storage");
                    stage.release(random.pick(&waiting).0);
                }
            }
            tasks.run();
        }
        for ((offset, length), read) in reads {
            let bytes = read.take().unwrap().unwrap();
            assert_same(&bytes, &contents[index(offset)..index(offset + length)], &format!("seed {seed}"));
        }
    }
}

#[test]
fn dropped_reads_leave_the_image_as_it_was() {
    let built = plan().build();
    let contents = built.contents(&base());
    for seed in 0..60 {
        let mut random = Random::seeded(seed);
        let stage = Stage::default();
        let (image, _) = open_held(&stage, &built);
        let mut tasks = Tasks::default();
        let wanted = ranges(&mut random, SIZE / 2, 12);
        let reads: Vec<_> =
            wanted.iter().map(|(offset, length)| tasks.spawn(range(&image, *offset, *length))).collect();
        tasks.run();
        let mut cancelled = [false; 12];
        while tasks.unfinished() > 0 {
            if random.one_in(4) {
                let victim = index(random.below(12));
                cancelled[victim] = !reads[victim].is_done();
                tasks.cancel(victim);
            } else if let waiting @ [_, ..] = &stage.waiting()[..] {
                stage.release(random.pick(waiting).0);
            } else {
                panic!("seed {seed}: a task waits, and not for the storage");
            }
            tasks.run();
        }
        for (number, (offset, length)) in wanted.iter().enumerate() {
            if !cancelled[number] {
                let bytes = reads[number].take().unwrap().unwrap();
                assert_same(&bytes, &contents[index(*offset)..index(offset + length)], &format!("seed {seed}"));
            }
        }
        assert_eq!(stage.waiting(), [], "seed {seed}: nothing is asked for those who are gone");
        let read = tasks.spawn(range(&image, 0, SIZE));
        finish(&mut tasks, &stage);
        assert_same(&read.take().unwrap().unwrap(), &contents, &format!("seed {seed}, afterwards"));
    }
}

#[test]
fn a_read_dropped_at_each_of_its_awaits() {
    let built = plan().build();
    let contents = built.contents(&base());
    let stage = Stage::default();
    for releases in 0.. {
        let (image, _) = open_held(&stage, &built);
        let mut tasks = Tasks::default();
        let read = tasks.spawn(range(&image, CLUSTER - 10, 60 * CLUSTER));
        tasks.run();
        for _ in 0..releases {
            if let Some((number, _)) = stage.waiting().first() {
                stage.release(*number);
                tasks.run();
            }
        }
        if read.is_done() {
            assert!(releases > 10, "it had many awaits: {releases}");
            break;
        }
        tasks.cancel(0);
        assert_eq!(stage.waiting(), [], "after {releases}");
        let again = tasks.spawn(range(&image, 0, SIZE));
        finish(&mut tasks, &stage);
        assert_same(&again.take().unwrap().unwrap(), &contents, &format!("dropped after {releases}"));
    }
}

#[test]
fn who_waits_for_a_table_loads_it_when_the_loader_is_dropped() {
    let (stage, built) = (Stage::default(), plan().build());
    let (image, _) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    let first = tasks.spawn(range(&image, 3 * CLUSTER, 10));
    tasks.run();
    let others: Vec<_> = (0..5).map(|_| tasks.spawn(range(&image, 3 * CLUSTER, 10))).collect();
    tasks.run();
    assert_eq!(stage.waiting().len(), 1);
    tasks.cancel(0);
    tasks.run();
    assert_eq!(stage.waiting().len(), 1, "one of the others has taken over");
    finish(&mut tasks, &stage);
    assert!(!first.is_done());
    assert!(others.iter().all(|read| read.take().unwrap().is_ok()));
}

#[test]
fn who_waits_for_a_table_loads_it_when_the_loader_fails() {
    let (stage, built) = (Stage::default(), plan().build());
    let (image, disk) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    disk.fail_after(0);
    let reads: Vec<_> = (0..5).map(|_| tasks.spawn(range(&image, 3 * CLUSTER, 10))).collect();
    finish(&mut tasks, &stage);
    let results: Vec<Result<Vec<u8>, DiskError>> = reads.iter().map(|read| read.take().unwrap()).collect();
    assert!(matches!(results[0], Err(qcow2_web::Error::Storage(_))), "the error is of the one that asked");
    assert!(results[1..].iter().all(Result::is_ok), "and of no other");
}

#[test]
fn a_failed_read_fails_alone() {
    let built = plan().build();
    let contents = built.contents(&base());
    for after in 0..12 {
        let stage = Stage::default();
        let (image, disk) = open_held(&stage, &built);
        disk.fail_after(after);
        let mut tasks = Tasks::default();
        let wanted: Vec<_> = (0..6).map(|at| (at * 9 * CLUSTER, 3 * CLUSTER)).collect();
        let reads: Vec<_> =
            wanted.iter().map(|(offset, length)| tasks.spawn(range(&image, *offset, *length))).collect();
        finish(&mut tasks, &stage);
        let mut failed = 0;
        for ((offset, length), read) in wanted.iter().zip(&reads) {
            match read.take().unwrap() {
                Ok(bytes) => assert_same(&bytes, &contents[index(*offset)..index(offset + length)], "a read"),
                Err(error) => {
                    assert_eq!(error.code(), "STORAGE");
                    failed += 1;
                }
            }
        }
        assert!(failed <= 1, "{failed} reads failed for one fault");
    }
}

#[test]
fn an_opening_dropped_at_each_of_its_awaits_lets_go_of_its_storages() {
    let built = plan().build();
    for releases in 0.. {
        let stage = Stage::default();
        let disk = Disk::held(built.bytes.clone(), &stage);
        let base = Disk::held(base(), &stage);
        let options = alone().backing(vec![BackingFile::from(base.clone())]);
        let mut tasks = Tasks::default();
        let opened = tasks.spawn(Image::open(disk.clone(), options));
        tasks.run();
        for _ in 0..releases {
            stage.release_all();
            tasks.run();
        }
        if opened.is_done() {
            assert!(releases > 0);
            break;
        }
        tasks.cancel(0);
        assert_eq!((disk.holders(), base.holders()), (1, 1), "dropped after {releases}");
        assert_eq!(stage.waiting(), []);
    }
}

#[test]
fn closing_is_dropping() {
    let built = Builder::new(CLUSTER, SIZE).with_data(0, 1).build();
    let disk = Disk::of(built.bytes);
    let image = now(Image::open(disk.clone(), alone())).unwrap();
    now(whole(&image)).unwrap();
    let clone = image.clone();
    drop(image);
    assert_eq!(disk.holders(), 2);
    drop(clone);
    assert_eq!(disk.holders(), 1);
}

#[test]
fn a_map_goes_on_where_a_dropped_or_failed_step_was() {
    let built = plan().build();
    let stage = Stage::default();
    let (image, disk) = open_held(&stage, &built);
    let mut tasks = Tasks::default();
    let all = tasks.spawn(extents(&image));
    finish(&mut tasks, &stage);
    let expected = all.take().unwrap().unwrap();

    let (image, _) = open_held(&stage, &built);
    let mut map = image.map(0, image.size()).unwrap();
    let mut found = Vec::new();
    let mut random = Random::seeded(1);
    loop {
        let step = {
            let mut tasks = Tasks::default();
            let step = tasks.spawn(map.step());
            tasks.run();
            if random.one_in(3) {
                // Dropped here, held or not.
                step.take()
            } else {
                finish(&mut tasks, &stage);
                step.take()
            }
        };
        match step {
            Some(Ok(Step::Extent(extent))) => found.push(extent),
            Some(Ok(Step::Done)) => break,
            Some(Ok(Step::Working { .. })) | None => {}
            Some(Err(error)) => panic!("{error}"),
        }
    }
    assert_eq!(found, expected);
    drop(disk);
}

#[test]
fn pieces_that_are_contiguous_are_one_request() {
    // Sixteen clusters in a row, in two L2 tables of 64 entries.
    let mut plan = Builder::new(512, 64 * KIB);
    for guest in 56..72 {
        plan = plan.with(guest, Cluster::Data(vec![1; 512]));
    }
    let built = plan.build();
    // The second table lies between them: the first half is a run, the second is one.
    let disk = Disk::of(built.bytes.clone());
    let image = now(Image::open(disk.clone(), alone())).unwrap();
    now(whole(&image)).unwrap();
    disk.forget_reads();
    now(range(&image, 56 * 512, 16 * 512)).unwrap();
    assert_eq!(disk.reads().len(), 2, "{:?}", disk.reads());
    disk.forget_reads();
    now(range(&image, 56 * 512 + 100, 7 * 512)).unwrap();
    assert_eq!(disk.reads().len(), 1, "{:?}", disk.reads());
}

#[test]
fn zeros_and_what_is_unmapped_ask_for_nothing() {
    let built = Builder::new(CLUSTER, 1 << 30).with(3, Cluster::Zero).with_data(9, 1).build();
    let disk = Disk::of(built.bytes);
    let image = now(Image::open(disk.clone(), alone())).unwrap();
    now(range(&image, 0, 64 * KIB)).unwrap();
    disk.forget_reads();
    now(range(&image, 0, 9 * CLUSTER)).unwrap();
    now(range(&image, 1 << 21, 1 << 21)).unwrap();
    assert_eq!(disk.reads(), []);
}
