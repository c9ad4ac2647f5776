//! Encrypted images: created and written by us, read and written by QEMU, and whose key slots both know.

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::LocalBoxFuture;
use qcow2_web::storage::FileStorage;
use qcow2_web::{
    CipherAlgorithm, CipherMode, CipherSpec, CreateFault, CreateOptions, Derivation, EncryptOptions, Error,
    HashAlgorithm, Image, IvGenerator, KeyDerivation, KeyOptions, Misuse, NoEntropy, OpenOptions, Preallocation,
    SnapshotOptions, ZeroMode,
};

use crate::common::executor::Tasks;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{assert_same, now, whole};
use crate::common::secret::{PASSPHRASE, options};
use crate::common::{KIB, MIB, index};

type FileError = Error<std::io::Error>;

/// Random bytes good enough for a test.
fn keys() -> KeyOptions {
    let seed = std::cell::Cell::new(1);
    let fill = move |bytes: &mut [u8]| {
        seed.set(seed.get() + 1);
        bytes.copy_from_slice(&Random::seeded(seed.get()).noise(bytes.len()));
        Ok(())
    };
    KeyOptions::new(fill).iterations(1000)
}

fn luks() -> EncryptOptions {
    EncryptOptions::luks(PASSPHRASE, keys())
}

fn storage(lab: &Lab, name: &str) -> FileStorage {
    FileStorage::open_writable(lab.path(name)).expect("the folder is writable")
}

fn open_with(lab: &Lab, name: &str, passphrase: &str) -> Result<Image<FileStorage>, FileError> {
    now(Image::open_writable(storage(lab, name), OpenOptions::new().passphrase(passphrase)))
}

fn create(lab: &Lab, create: &CreateOptions) -> Image<FileStorage> {
    lab.put("disk", b"");
    now(create.write_to(&storage(lab, "disk"), None)).expect("an image that can be");
    open_with(lab, "disk", PASSPHRASE).expect("a new image opens")
}

/// Writes by us at odd places, then by QEMU, then by us; what each leaves, the other reads.
fn write_by_turns(lab: &Lab, image: Image<FileStorage>) {
    let mut random = Random::seeded(image.size());
    let mut disk = now(whole(&image)).unwrap();
    assert!(disk.iter().all(|byte| *byte == 0), "a new disk is zero");
    let mut image = image;
    for round in 0..3 {
        for _ in 0..12 {
            let length = random.below(150 * KIB) + 1;
            let offset = random.below(image.size() - length);
            let data = random.noise(index(length));
            now(image.write_at(offset, &data)).unwrap();
            disk[index(offset)..][..data.len()].copy_from_slice(&data);
        }
        now(image.write_zeroes(70 * KIB + 100, 50 * KIB, ZeroMode::Unmap)).unwrap();
        disk[index(70 * KIB + 100)..][..index(50 * KIB)].fill(0);
        assert_same(&now(whole(&image)).unwrap(), &disk, "what we read");
        now(image.close()).unwrap();
        drop(image);
        lab.check_encrypted("disk");
        assert_same(&lab.decrypted(&[], &options("disk")), &disk, "what QEMU reads");
        let offset = 33 * KIB + round * 512;
        lab.io_encrypted(&options("disk"), &[format!("write -q -P {} {offset} 3k", round + 1)]);
        disk[index(offset)..][..3072].fill(round as u8 + 1);
        image = open_with(lab, "disk", PASSPHRASE).unwrap();
        assert_same(&now(whole(&image)).unwrap(), &disk, "what QEMU wrote");
    }
}

#[test]
fn legacy_aes_is_as_qemu_has_it() {
    let lab = Lab::new();
    for version in [2, 3] {
        for cluster_size in [512, 4096, 65536, 2 << 20] {
            let aes = EncryptOptions::legacy_aes(PASSPHRASE);
            let options = CreateOptions::new(MIB).version(version).cluster_size(cluster_size).encryption(aes);
            write_by_turns(&lab, create(&lab, &options));
        }
    }
    let aes = EncryptOptions::legacy_aes(PASSPHRASE);
    write_by_turns(&lab, create(&lab, &CreateOptions::new(MIB).extended_l2(true).encryption(aes)));
}

#[test]
fn luks_is_as_qemu_has_it() {
    let lab = Lab::new();
    let spec = |algorithm, mode, iv| CipherSpec { algorithm, mode, iv };
    let (aes, cbc, xts) = (CipherAlgorithm::Aes, CipherMode::Cbc, CipherMode::Xts);
    let essiv = IvGenerator::Essiv(HashAlgorithm::Sha256);
    for encryption in [
        luks(),
        luks().cipher(spec(aes, xts, IvGenerator::Plain64), 128).hash(HashAlgorithm::Sha1),
        luks().cipher(spec(aes, xts, IvGenerator::Plain64), 192).hash(HashAlgorithm::Sha512),
        luks().cipher(spec(aes, cbc, essiv), 256),
        luks().cipher(spec(CipherAlgorithm::Serpent, xts, IvGenerator::Plain), 256).hash(HashAlgorithm::Ripemd160),
        luks().cipher(spec(CipherAlgorithm::Twofish, cbc, IvGenerator::Plain64), 128),
    ] {
        write_by_turns(&lab, create(&lab, &CreateOptions::new(MIB).encryption(encryption)));
    }
    for options in [
        CreateOptions::new(MIB).version(2).cluster_size(512),
        CreateOptions::new(MIB).cluster_size(4096),
        CreateOptions::new(MIB).cluster_size(2 << 20),
        CreateOptions::new(MIB).extended_l2(true),
    ] {
        write_by_turns(&lab, create(&lab, &options.encryption(luks())));
    }
}

#[test]
fn preallocated_images_read_as_zeros() {
    let lab = Lab::new();
    for version in [2, 3] {
        for preallocation in [Preallocation::Metadata, Preallocation::Full] {
            for encryption in [luks(), EncryptOptions::legacy_aes(PASSPHRASE)] {
                let options = CreateOptions::new(MIB).version(version).preallocation(preallocation);
                let image = create(&lab, &options.encryption(encryption));
                assert_same(&lab.decrypted(&[], &self::options("disk")), &vec![0; index(MIB)], "what QEMU reads");
                write_by_turns(&lab, image);
            }
        }
    }
}

#[test]
fn what_can_not_be() {
    let lab = Lab::new();
    let spec = CipherSpec { mode: CipherMode::Cbc, ..CipherSpec::default() };
    for (encryption, key_bits) in [(luks().cipher(spec, 192), 192), (luks().cipher(CipherSpec::default(), 512), 512)] {
        lab.put("disk", b"");
        let refused = now(CreateOptions::new(MIB).encryption(encryption).write_to(&storage(&lab, "disk"), None));
        let fault = CreateFault::CipherKey { key_bits };
        assert!(matches!(&refused, Err(Error::Misuse(Misuse::Create(found))) if *found == fault), "{refused:?}");
        assert_eq!(lab.bytes("disk"), b"");
    }
    let keys = KeyOptions::new(|_: &mut [u8]| Err(NoEntropy));
    let options = CreateOptions::new(MIB).encryption(EncryptOptions::luks(PASSPHRASE, keys));
    let refused = now(options.write_to(&storage(&lab, "disk"), None)).unwrap_err();
    assert_eq!((refused.code(), lab.bytes("disk")), ("NO_ENTROPY", Vec::new()));
    let image = create(&lab, &CreateOptions::new(MIB).encryption(luks()));
    let refused = now(image.write_compressed(0, &[0; 65536])).unwrap_err();
    assert!(matches!(refused, Error::Misuse(Misuse::CompressedEncryption)), "{refused:?}");
}

/// Whether `qemu-io` opens the image by that passphrase.
fn qemu_opens(lab: &Lab, passphrase: &str) -> bool {
    let secret = format!("secret,id=key,data={passphrase}");
    let output = lab.run("qemu-io", &["--object", &secret, "--image-opts", &options("disk"), "-c", "read -q 0 512"]);
    output.status.success()
}

fn we_open(lab: &Lab, passphrase: &str) -> bool {
    match open_with(lab, "disk", passphrase) {
        Ok(_) => true,
        Err(Error::Misuse(Misuse::WrongPassphrase)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn assert_opens(lab: &Lab, passphrase: &str, expected: bool) {
    assert_eq!((we_open(lab, passphrase), qemu_opens(lab, passphrase)), (expected, expected), "{passphrase}");
}

#[test]
fn key_slots_come_and_go() {
    let lab = Lab::new();
    let image = create(&lab, &CreateOptions::new(MIB).encryption(luks()));
    now(image.write_at(0, &[7; 4096])).unwrap();
    let keys = keys();
    let entropy = |bytes: &mut [u8]| {
        bytes.fill(0x99);
        Ok(())
    };
    let last = now(image.erase_key_slot(0, &entropy)).unwrap_err();
    assert!(matches!(last, Error::Misuse(Misuse::LastKeySlot)), "{last:?}");
    let wrong = now(image.add_passphrase("nobody's", "second", &keys)).unwrap_err();
    assert!(matches!(wrong, Error::Misuse(Misuse::WrongPassphrase)), "{wrong:?}");
    assert_eq!(now(image.add_passphrase(PASSPHRASE, "second", &keys)).unwrap(), 1);
    assert_eq!(now(image.change_passphrase(PASSPHRASE, "third", &keys)).unwrap(), 2);
    for (passphrase, opens) in [(PASSPHRASE, false), ("second", true), ("third", true), ("nobody's", false)] {
        assert_opens(&lab, passphrase, opens);
    }
    now(image.erase_key_slot(1, &entropy)).unwrap();
    assert_opens(&lab, "second", false);
    assert_opens(&lab, "third", true);
    let missing = now(image.erase_key_slot(8, &entropy)).unwrap_err();
    assert!(matches!(missing, Error::Misuse(Misuse::NoSuchKeySlot { slot: 8 })), "{missing:?}");
    for number in 0..7 {
        now(image.add_passphrase("third", format!("of slot {number}"), &keys)).unwrap();
    }
    let full = now(image.add_passphrase("third", "one more", &keys)).unwrap_err();
    assert!(matches!(full, Error::Misuse(Misuse::KeySlotsFull)), "{full:?}");
    assert_opens(&lab, "of slot 6", true);
    // Back to what the check knows.
    now(image.erase_key_slot(0, &entropy)).unwrap();
    now(image.add_passphrase("third", PASSPHRASE, &keys)).unwrap();
    now(image.close()).unwrap();
    lab.check_encrypted("disk");
    assert!(now(whole(&image)).unwrap().starts_with(&[7; 4096]));
}

#[test]
fn key_slots_of_qemu() {
    let lab = Lab::new();
    lab.create_encrypted("disk", "encrypt.format=luks,encrypt.iter-time=10", MIB);
    let amend = |options: &str| {
        let first = format!("secret,id=key,data={PASSPHRASE}");
        let arguments = ["amend", "--object", &first, "--object", "secret,id=new,data=second", "-o", options];
        lab.qemu_img(&[&arguments[..], &["--image-opts", &self::options("disk")]].concat());
    };
    amend("encrypt.state=active,encrypt.new-secret=new,encrypt.iter-time=10");
    assert_opens(&lab, "second", true);
    let image = open_with(&lab, "disk", "second").unwrap();
    now(image.add_passphrase("second", "third", &keys())).unwrap();
    drop(image);
    amend("encrypt.state=inactive,encrypt.old-secret=new");
    for (passphrase, opens) in [(PASSPHRASE, true), ("second", false), ("third", true)] {
        assert_opens(&lab, passphrase, opens);
    }
}

#[test]
fn a_key_slot_is_chosen_by_number_and_erased_by_its_passphrase() {
    let lab = Lab::new();
    let image = create(&lab, &CreateOptions::new(MIB).encryption(luks()));
    let keys = keys();
    now(image.add_passphrase_to_slot(5, PASSPHRASE, "second", &keys)).unwrap();
    now(image.add_passphrase_to_slot(3, "second", "second", &keys)).unwrap();
    let code = |slot| now(image.add_passphrase_to_slot(slot, PASSPHRASE, "third", &keys)).unwrap_err().code();
    assert_eq!((code(5), code(0), code(8)), ("KEY_SLOT_IN_USE", "KEY_SLOT_IN_USE", "NO_SUCH_KEY_SLOT"));
    assert_opens(&lab, "second", true);
    assert_opens(&lab, "third", false);

    let code = |passphrase, slot| now(image.erase_passphrase(passphrase, slot, &keys)).unwrap_err().code();
    assert_eq!((code("nobody's", None), code("second", Some(0))), ("WRONG_PASSPHRASE", "WRONG_PASSPHRASE"));
    assert_eq!((code("second", Some(7)), code("second", Some(8))), ("WRONG_PASSPHRASE", "NO_SUCH_KEY_SLOT"));
    assert_eq!(now(image.erase_passphrase("second", Some(3), &keys)).unwrap(), 1);
    assert_opens(&lab, "second", true);
    now(image.add_passphrase("second", "second", &keys)).unwrap();
    assert_eq!(now(image.erase_passphrase("second", None, &keys)).unwrap(), 2);
    assert_opens(&lab, "second", false);
    now(image.add_passphrase(PASSPHRASE, PASSPHRASE, &keys)).unwrap();
    assert_eq!(code(PASSPHRASE, None), "LAST_KEY_SLOT");
    assert_opens(&lab, PASSPHRASE, true);
    now(image.close()).unwrap();
    lab.check_encrypted("disk");
}

#[test]
fn images_without_key_slots() {
    let lab = Lab::new();
    let aes = EncryptOptions::legacy_aes(PASSPHRASE);
    for options in [CreateOptions::new(MIB), CreateOptions::new(MIB).encryption(aes)] {
        let image = create(&lab, &options);
        let refused = now(image.add_passphrase(PASSPHRASE, "second", &keys())).unwrap_err();
        assert!(matches!(refused, Error::Misuse(Misuse::NoKeySlots)), "{refused:?}");
    }
}

/// Derives keys when the test lets it.
#[derive(Clone, Default)]
struct Held(Rc<Cell<bool>>);

impl KeyDerivation for Held {
    fn derive<'a>(&'a self, derivation: Derivation<'a>, key: &'a mut [u8]) -> LocalBoxFuture<'a, ControlFlow<()>> {
        Box::pin(async move {
            poll_fn(|context| {
                context.waker().wake_by_ref();
                if self.0.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            derivation.run(key);
            ControlFlow::Continue(())
        })
    }
}

/// An image whose passphrase is being changed, as far as it gets before a key is derived.
fn while_changing(work: impl FnOnce(&Image<FileStorage>)) -> (Image<FileStorage>, Result<usize, FileError>) {
    let lab = Lab::new();
    let image = create(&lab, &CreateOptions::new(MIB).encryption(luks()));
    let held = Held::default();
    let mut tasks = Tasks::default();
    let (changed, options) = (image.clone(), keys().key_derivation(Rc::new(held.clone())));
    let changing = tasks.spawn(async move { changed.change_passphrase(PASSPHRASE, "new", &options).await });
    tasks.step();
    work(&image);
    assert!(!changing.is_done());
    held.0.set(true);
    tasks.run();
    (image, changing.take().unwrap())
}

#[test]
fn no_request_waits_while_a_key_is_derived() {
    let (image, slot) = while_changing(|image| {
        now(image.write_at(0, &[7; 4096])).unwrap();
        now(image.flush()).unwrap();
        now(image.create_snapshot(&SnapshotOptions::new("one"), |_| ControlFlow::Continue(()))).unwrap();
        now(image.add_passphrase(PASSPHRASE, "another", &keys())).unwrap();
    });
    // The slot that was free when it began has been taken meanwhile.
    assert_eq!(slot.unwrap(), 2);
    now(image.add_passphrase("new", "third", &keys())).unwrap();
    assert_eq!(now(image.add_passphrase(PASSPHRASE, "fourth", &keys())).unwrap_err().code(), "WRONG_PASSPHRASE");
}

#[test]
fn a_passphrase_that_is_erased_meanwhile_changes_nothing() {
    let (image, slot) = while_changing(|image| {
        now(image.add_passphrase(PASSPHRASE, "another", &keys())).unwrap();
        now(image.erase_key_slot(0, &|bytes: &mut [u8]| {
            bytes.fill(7);
            Ok(())
        }))
        .unwrap();
    });
    assert_eq!(slot.unwrap_err().code(), "WRONG_PASSPHRASE");
    assert_eq!(now(image.add_passphrase("new", "third", &keys())).unwrap_err().code(), "WRONG_PASSPHRASE");
    now(image.add_passphrase("another", "third", &keys())).unwrap();
}
