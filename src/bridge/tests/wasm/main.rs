//! The bridge in a browser, without the TypeScript above it: its contract with `src/js`.
#![cfg(target_arch = "wasm32")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::rc::Rc;

use js_sys::{Array, Float64Array, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

use self::host::{
    SyncStorage, TestStorage, answer, engine, get, image, last_request, number, open, opened, qcow2, read, target,
};

mod host;
#[cfg(feature = "edit")]
mod writing;

wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[wasm_bindgen_test]
fn a_synchronous_storage_needs_no_task() {
    let (engine, host) = engine();
    let image = image(open(&engine, SyncStorage::new(&qcow2(None))).unwrap());
    assert!(image.sync());
    assert_eq!(image.size().as_f64(), Some(32768.0));
    let into = target(4);
    image.read_sync(510, into.unchecked_ref()).unwrap();
    assert_eq!(into.to_vec(), [1, 1, 2, 2]);
    assert!(read(&image, 1022, &into).is_undefined());
    assert_eq!(into.to_vec(), [2, 2, 0, 0]);
    assert_eq!(host.done().length(), 0);
}

#[wasm_bindgen_test]
fn an_exception_of_a_storage_is_the_cause() {
    let (engine, _) = engine();
    let storage = SyncStorage::new(&qcow2(None));
    let image = image(open(&engine, storage.clone()).unwrap());
    let thrown: JsValue = js_sys::Error::new("on fire").into();
    storage.set_thrown(&thrown);
    let error = image.read_sync(0, target(1).unchecked_ref()).unwrap_err();
    assert_eq!(get(&error, "code"), "STORAGE");
    assert_eq!(get(&error, "cause"), thrown);
    // The caller, which knows what was thrown, adds the rest.
    assert_eq!(get(&error, "message"), "the storage failed: ");
    storage.set_thrown(&JsValue::UNDEFINED);
    image.read_sync(0, target(1).unchecked_ref()).unwrap();
}

#[wasm_bindgen_test]
fn errors_have_an_offset() {
    let (engine, _) = engine();
    let mut file = qcow2(None);
    file[20..24].copy_from_slice(&30_u32.to_be_bytes());
    let error = open(&engine, SyncStorage::new(&file)).unwrap_err();
    assert_eq!(get(&error, "code"), "CORRUPT_HEADER");
    assert_eq!(get(&error, "offset"), 20);
    assert!(get(&error, "depth").is_undefined());
}

#[wasm_bindgen_test]
fn a_task_ends_when_its_request_is_answered() {
    let (engine, host, storage, image) = opened();
    assert!(!image.sync());
    let into = target(2);
    let task = read(&image, 511, &into);
    assert_eq!(host.done().length(), 0);
    answer(&engine, &storage, &qcow2(None));
    let done: Array = host.done().get(0).unchecked_into();
    assert_eq!(done.get(0), task);
    assert_eq!(into.to_vec(), [1, 2]);
    assert_eq!(storage.aborted().length(), 0);
}

#[wasm_bindgen_test]
fn tasks_end_in_the_order_of_the_answers() {
    let (engine, host, storage, image) = opened();
    let (first, second) = (target(1), target(1));
    let (one, two) = (read(&image, 0, &first), read(&image, 512, &second));
    answer(&engine, &storage, &qcow2(None));
    let (latest, ..) = last_request(&storage);
    engine.answer(latest - 1, Uint8Array::from(&[7][..]).into());
    let order: Vec<_> = host.done().iter().map(|done| done.unchecked_into::<Array>().get(0)).collect();
    assert_eq!(order, [two, one]);
    assert_eq!((first.to_vec(), second.to_vec()), (vec![7], vec![2]));
}

#[wasm_bindgen_test]
fn a_cancelled_task_aborts_its_request_and_reports_nothing() {
    let (engine, host, storage, image) = opened();
    let task = read(&image, 0, &target(1));
    let (request, ..) = last_request(&storage);
    engine.cancel(number(&task));
    assert_eq!(storage.aborted().get(0), request);
    engine.answer(request, Uint8Array::from(&[1][..]).into());
    engine.refuse(request, "late".into());
    engine.cancel(number(&task));
    assert_eq!((host.done().length(), host.failed().length(), storage.aborted().length()), (0, 0, 1));
}

#[wasm_bindgen_test]
fn an_answer_of_the_wrong_length_is_refused() {
    let (engine, host, storage, image) = opened();
    for wrong in [Uint8Array::new_with_length(3).into(), JsValue::UNDEFINED, "text".into()] {
        let task = read(&image, 0, &target(2));
        engine.answer(last_request(&storage).0, wrong);
        let failed: Array = host.failed().pop().unchecked_into();
        assert_eq!(failed.get(0), task);
        assert_eq!(get(&failed.get(1), "code"), "STORAGE_CONTRACT");
    }
}

#[wasm_bindgen_test]
fn a_storage_may_answer_before_it_returns() {
    let (engine, host, storage, image) = opened();
    let engine = Rc::new(engine);
    let answering = engine.clone();
    let call = Closure::<dyn Fn(u32)>::new(move |request| {
        answering.answer(request, Uint8Array::from(&[9][..]).into());
    });
    storage.set_on_read(call.as_ref());
    let into = target(1);
    assert!(read(&image, 0, &into).is_undefined());
    assert_eq!(into.to_vec(), [9]);
    assert_eq!(host.done().length(), 0);
}

#[wasm_bindgen_test]
fn a_task_may_be_cancelled_while_it_runs() {
    let file = qcow2(None);
    let (engine, host) = engine();
    let engine = Rc::new(engine);
    let storage = TestStorage::new(file.len());
    let task = open(&engine, storage.clone()).unwrap();
    answer(&engine, &storage, &file);
    let image = image(host.done().pop().unchecked_into::<Array>().get(1));
    // Its first request is for a table. It is cancelled while it makes the second.
    let task = number(&task) + 1;
    assert_eq!(number(&read(&image, 0, &target(1))), task);
    let cancelling = engine.clone();
    let call = Closure::<dyn Fn(u32)>::new(move |_| cancelling.cancel(task));
    storage.set_on_read(call.as_ref());
    answer(&engine, &storage, &file);
    storage.set_on_read(&JsValue::UNDEFINED);
    assert_eq!(storage.aborted().get(0), last_request(&storage).0);
    assert_eq!((host.done().length(), host.failed().length()), (0, 0));
}

#[wasm_bindgen_test]
fn the_host_supplies_backing_files() {
    let (engine, host) = engine();
    let task = open(&engine, SyncStorage::new(&qcow2(Some("base.img")))).unwrap();
    let asked: Array = host.resolve().get(0).unchecked_into();
    assert_eq!(asked.get(1), "base.img");
    assert!(asked.get(2).is_undefined());
    assert_eq!(asked.get(3), 1);

    let supplied = js_sys::Object::new();
    let base = SyncStorage::new(&[5; 2048]);
    Reflect::set(&supplied, &"storage".into(), &base).unwrap();
    Reflect::set(&supplied, &"format".into(), &"raw".into()).unwrap();
    engine.answer(number(&asked.get(0)), supplied.into());
    let done: Array = host.done().get(0).unchecked_into();
    assert_eq!(done.get(0), task);
    let image = image(done.get(1));
    let into = target(3);
    image.read_sync(1023, into.unchecked_ref()).unwrap();
    assert_eq!(into.to_vec(), [2, 5, 5]);
}

#[wasm_bindgen_test]
fn a_missing_backing_file_is_an_error_unless_the_host_opens_without_it() {
    let (engine, host) = engine();
    let request = || number(&host.resolve().pop().unchecked_into::<Array>().get(0));
    let storage = || SyncStorage::new(&qcow2(Some("base.img")));

    open(&engine, storage()).unwrap();
    engine.answer(request(), JsValue::UNDEFINED);
    let error = host.failed().pop().unchecked_into::<Array>().get(1);
    assert_eq!(get(&error, "code"), "MISSING_BACKING_FILE");
    assert_eq!(get(&get(&error, "file"), "name"), "base.img");

    open(&engine, storage()).unwrap();
    engine.answer(request(), JsValue::NULL);
    let image = image(host.done().pop().unchecked_into::<Array>().get(1));
    let into = target(1);
    image.read_sync(2000, into.unchecked_ref()).unwrap();
    assert_eq!(into.to_vec(), [0]);

    open(&engine, storage()).unwrap();
    engine.refuse(request(), "no".into());
    let error = host.failed().pop().unchecked_into::<Array>().get(1);
    assert_eq!((get(&error, "code"), get(&error, "cause")), ("STORAGE".into(), "no".into()));
}

#[wasm_bindgen_test]
fn the_host_supplies_passphrases_and_they_are_wiped() {
    let (engine, host) = engine();
    let mut file = qcow2(None);
    file[32..36].copy_from_slice(&1_u32.to_be_bytes());
    let task = open(&engine, SyncStorage::new(&file)).unwrap();
    let asked: Array = host.passphrase().get(0).unchecked_into();
    assert_eq!((asked.get(1), asked.get(2)), (0.into(), "aes".into()));
    let passphrase = Uint8Array::from(&b"open sesame"[..]);
    engine.answer(number(&asked.get(0)), passphrase.clone().into());
    assert_eq!(passphrase.to_vec(), [0; 11]);
    let done: Array = host.done().get(0).unchecked_into();
    assert_eq!(done.get(0), task);
    let into = target(16);
    image(done.get(1)).read_sync(0, into.unchecked_ref()).unwrap();
    assert_ne!(into.to_vec(), [1; 16]);

    for none in [JsValue::UNDEFINED, "text".into()] {
        open(&engine, SyncStorage::new(&file)).unwrap();
        engine.answer(number(&host.passphrase().pop().unchecked_into::<Array>().get(0)), none);
        let error = host.failed().pop().unchecked_into::<Array>().get(1);
        assert_eq!(get(&error, "code"), "PASSPHRASE_NEEDED");
    }
}

#[wasm_bindgen_test]
fn the_map_is_passed_as_numbers() {
    let (engine, _) = engine();
    let image = image(open(&engine, SyncStorage::new(&qcow2(None))).unwrap());
    let map = image.map(0, 32768).unwrap();
    let batch: Float64Array = map.next(1).unwrap().unchecked_into();
    assert_eq!(batch.to_vec()[1..], [0.0, 0.0, 1024.0, 0.0, 5.0, 2048.0]);
    let batch: Float64Array = map.next(10).unwrap().unchecked_into();
    assert_eq!(batch.to_vec(), [32768.0, 1.0, 1024.0, 31744.0, 0.0, 2.0, -1.0]);
}

#[wasm_bindgen_test]
fn large_reads_need_little_memory() {
    let (engine, _) = engine();
    let mut file = qcow2(None);
    // An empty disk of 1 GiB.
    file[24..32].copy_from_slice(&(1_u64 << 30).to_be_bytes());
    file[36..40].copy_from_slice(&32768_u32.to_be_bytes());
    file[40..48].copy_from_slice(&65536_u64.to_be_bytes());
    let image = image(open(&engine, SyncStorage::new(&file)).unwrap());
    let pages = || core::arch::wasm32::memory_size::<0>();
    let before = pages();
    let into = target(512 << 20);
    image.read_sync(0, into.unchecked_ref()).unwrap();
    assert!(pages() - before < 256, "{} pages of 64 KiB", pages() - before);
}
