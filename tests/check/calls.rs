//! Checking an open image, telling how far it is, and ending it.

use std::cell::RefCell;
use std::ops::ControlFlow;

use qcow2_web::storage::MemoryStorage;
use qcow2_web::{CheckOptions, CreateOptions, Image, OpenOptions, Verdict, check, now_or_never};

use crate::common::MIB;
use crate::common::disk::{Disk, Stage};
use crate::common::reading::now;

fn new_image() -> Image<MemoryStorage> {
    let storage = MemoryStorage::default();
    now(CreateOptions::new(256 * MIB).cluster_size(4096).write_to(&storage, None)).unwrap();
    now(Image::open_writable(storage, OpenOptions::new())).unwrap()
}

#[test]
fn an_open_image_is_flushed_and_checked() {
    let image = new_image();
    for at in 0..40 {
        now(image.write_at(at * 5 * MIB, &[1; 5000])).unwrap();
    }
    let report = now(image.check(CheckOptions::new())).unwrap();
    assert_eq!(report.verdict(), Verdict::Clean, "{:?}", report.findings);
    assert_eq!((report.total_clusters, report.allocated_clusters), (256 * MIB / 4096, 80));
    now(image.write_at(0, &[2; 100])).unwrap();
    now(image.close()).unwrap();
}

#[test]
fn tells_how_far_it_is_and_ends_when_told() {
    let image = new_image();
    now(image.write_at(0, &[1; 100])).unwrap();
    let told = RefCell::new(Vec::new());
    let options = CheckOptions::new().on_progress(|progress| {
        told.borrow_mut().push(progress);
        ControlFlow::Continue(())
    });
    now(image.check(options)).unwrap();
    let told = told.into_inner();
    let last = told.last().expect("it is told");
    assert_eq!(last.done, last.total);
    assert!(told.is_sorted_by_key(|progress| progress.done));

    let ended = now(image.check(CheckOptions::new().on_progress(|_| ControlFlow::Break(()))));
    assert_eq!(ended.unwrap_err().code(), "CANCELLED");
    now(image.write_at(0, &[2; 100])).unwrap();
}

#[test]
fn dropped_at_any_read_it_leaves_nothing_behind() {
    let storage = MemoryStorage::default();
    now(CreateOptions::new(MIB).write_to(&storage, None)).unwrap();
    let bytes = storage.into_bytes();
    let mut reads = 0;
    loop {
        let stage = Stage::default();
        let disk = Disk::held(bytes.clone(), &stage);
        let mut future = Box::pin(check(&disk, CheckOptions::new()));
        let ended = (0..reads).find_map(|_| {
            let ended = now_or_never(future.as_mut());
            stage.release_all();
            ended
        });
        drop(future);
        assert!(stage.waiting().is_empty(), "the read that waited is gone");
        if let Some(report) = ended {
            assert_eq!(report.unwrap().verdict(), Verdict::Clean);
            assert!(reads > 4, "it takes several reads");
            return;
        }
        reads += 1;
    }
}

#[test]
fn what_cannot_be_checked_at_all() {
    let report = now(check(&MemoryStorage::from(vec![0; 4096]), CheckOptions::new()));
    assert_eq!(report.unwrap_err().code(), "NOT_QCOW2");
}
