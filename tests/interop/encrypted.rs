//! Encrypted images that QEMU made: every scheme and cipher, read as QEMU reads them; and who doesn't get in.

use std::cell::RefCell;
use std::rc::Rc;

use qcow2_web::{
    Encryption, EncryptionInfo, Error, Image, Missing, Misuse, OpenOptions, Passphrase, PassphraseRequest, Unsupported,
    inspect,
};

use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::random::Random;
use crate::common::reading::{DiskError, alone, assert_same, now, open, range, ranges, refused, whole};
use crate::common::secret::{PASSPHRASE, options};
use crate::common::{KIB, MIB, index};

/// LUKS, with as few iterations as QEMU lets one have.
const LUKS: &str = "encrypt.format=luks,encrypt.iter-time=10";
const AES: &str = "encrypt.format=aes";

fn unlock(lab: &Lab, name: &str) -> Result<Image<Disk>, DiskError> {
    now(Image::open(Disk::file(lab.path(name)), alone().passphrase(PASSPHRASE)))
}

/// Writes all over a disk of that size, which is then read by both sides.
fn compare(lab: &Lab, name: &str, size: u64) {
    let image_options = options(name);
    let end = size - 512;
    let strokes = [
        "write -q -P 1 0 64k".into(),
        "write -q -P 2 100k 3k".into(),
        "write -q -P 3 131584 512".into(),
        "write -q -z 20k 9k".into(),
        "discard -q 32k 64k".into(),
        format!("write -q -P 5 {end} 512"),
    ];
    lab.io_encrypted(&image_options, &strokes);
    let expected = lab.decrypted(&[], &image_options);
    let image = unlock(lab, name).unwrap();
    assert_same(&now(whole(&image)).unwrap(), &expected, name);
    for (offset, length) in ranges(&mut Random::seeded(size), size, 60) {
        let part = now(range(&image, offset, length)).unwrap();
        assert_same(&part, &expected[index(offset)..index(offset + length)], &format!("{offset} {length}"));
    }
}

#[test]
fn legacy_aes_in_every_cluster_size() {
    let lab = Lab::new();
    for bits in 9..=21 {
        lab.create_encrypted("disk", &format!("{AES},cluster_size={}", 1 << bits), 3 * MIB);
        compare(&lab, "disk", 3 * MIB);
    }
    for options in ["compat=0.10", "cluster_size=64k,extended_l2=on", "data_file=data"] {
        lab.create_encrypted("disk", &format!("{AES},{options}"), 3 * MIB);
        if options.starts_with("data_file") {
            continue;
        }
        compare(&lab, "disk", 3 * MIB);
    }
}

#[test]
fn luks_by_aes() {
    for options in [
        "",
        ",encrypt.cipher-alg=aes-128,encrypt.hash-alg=sha1",
        ",encrypt.cipher-alg=aes-192,cluster_size=4k",
        ",encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        ",encrypt.cipher-alg=aes-128,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=plain,encrypt.hash-alg=sha512",
        ",encrypt.cipher-mode=xts,encrypt.ivgen-alg=plain,encrypt.hash-alg=ripemd160",
    ] {
        let lab = Lab::new();
        lab.create_encrypted("disk", &format!("{LUKS}{options}"), MIB);
        compare(&lab, "disk", MIB);
    }
}

#[test]
fn luks_by_the_other_ciphers() {
    for options in [
        "encrypt.cipher-alg=serpent-256,encrypt.hash-alg=sha384",
        "encrypt.cipher-alg=serpent-128,encrypt.cipher-mode=cbc",
        "encrypt.cipher-alg=twofish-256,encrypt.hash-alg=sha224",
        "encrypt.cipher-alg=twofish-128,encrypt.cipher-mode=cbc,extended_l2=on",
    ] {
        let lab = Lab::new();
        lab.create_encrypted("disk", &format!("{LUKS},{options}"), MIB);
        compare(&lab, "disk", MIB);
    }
}

/// Of ciphers and modes that are not here, the names are told; and what the image is.
#[test]
fn what_this_crate_has_no_cipher_for() {
    for (options, cipher, mode, bits) in [
        ("encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=cbc", "cast5", "cbc-plain64", 128),
        ("encrypt.cipher-alg=aes-256,encrypt.cipher-mode=ctr", "aes", "ctr-plain64", 256),
    ] {
        let lab = Lab::new();
        lab.create_encrypted("disk", &format!("{LUKS},{options}"), MIB);
        let error = unlock(&lab, "disk").map(|_| ()).unwrap_err();
        let expected = Unsupported::LuksCipher { cipher: cipher.into(), mode: mode.into(), key_bits: bits };
        assert!(matches!(&error, Error::Unsupported(found) if *found == expected), "{error:?}");
        let locked = now(Image::open(Disk::file(lab.path("disk")), alone().without_passphrase())).unwrap();
        let Some(EncryptionInfo::Luks(luks)) = now(locked.info()).unwrap().encryption else {
            panic!("it is LUKS");
        };
        assert_eq!((&*luks.cipher, &*luks.mode, luks.key_bits), (cipher, mode, bits));
    }
}

#[test]
fn compressed_clusters_are_not_encrypted() {
    for (format, size) in [(AES, MIB), (LUKS, MIB)] {
        let lab = Lab::new();
        lab.create_encrypted("disk", format, size);
        let strokes = ["write -q -c -P 9 64k 64k".into(), "write -q -P 8 0 64k".into()];
        lab.io_encrypted(&options("disk"), &strokes);
        compare(&lab, "disk", size);
    }
}

#[test]
fn snapshots() {
    for format in [AES, LUKS] {
        let lab = Lab::new();
        lab.create_encrypted("disk", format, MIB);
        let image_options = options("disk");
        lab.io_encrypted(&image_options, &["write -q -P 1 0 300k".into()]);
        let before = lab.decrypted(&[], &image_options);
        lab.snapshot_encrypted(&image_options, "before");
        lab.io_encrypted(&image_options, &["write -q -P 2 100k 100k".into()]);
        let image = unlock(&lab, "disk").unwrap();
        assert_same(&now(whole(&image)).unwrap(), &lab.decrypted(&[], &image_options), "the disk");
        let snapshot = image.open_snapshot("before").unwrap();
        assert_same(&now(whole(&snapshot)).unwrap(), &before, "the snapshot");
    }
}

#[test]
fn no_passphrase_or_a_wrong_one() {
    let lab = Lab::new();
    lab.create_encrypted("luks", LUKS, MIB);
    lab.create_encrypted("aes", AES, MIB);
    lab.io_encrypted(&options("aes"), &["write -q -P 1 0 64k".into()]);
    for name in ["luks", "aes"] {
        let error = refused(open(&Disk::file(lab.path(name))));
        assert!(matches!(error, Error::Missing(Missing::Passphrase)), "{error:?}");
        assert_eq!(error.code(), "PASSPHRASE_NEEDED");
    }
    let wrong = |name: &str| now(Image::open(Disk::file(lab.path(name)), alone().passphrase("open barley")));
    let error = refused(wrong("luks"));
    assert!(matches!(error, Error::Misuse(Misuse::WrongPassphrase)), "{error:?}");
    assert_eq!(error.code(), "WRONG_PASSPHRASE");
    // The legacy method can't tell.
    let noise = now(range(&wrong("aes").unwrap(), 0, 4 * KIB)).unwrap();
    assert!(!noise.windows(4).any(|four| four == [1; 4]), "it isn't the data");
}

#[test]
fn without_the_passphrase_all_but_the_data_can_be_read() {
    let lab = Lab::new();
    for (name, format) in [("luks", LUKS), ("aes", AES)] {
        lab.create_encrypted(name, format, MIB);
        lab.io_encrypted(&options(name), &["write -q -P 1 0 64k".into()]);
        lab.snapshot_encrypted(&options(name), "one");
        let disk = Disk::file(lab.path(name));
        let image = now(Image::open(disk.clone(), alone().without_passphrase())).unwrap();
        let error = now(range(&image, 0, 512)).unwrap_err();
        assert!(matches!(error, Error::Missing(Missing::Passphrase)), "{error:?}");
        assert_eq!(now(range(&image, 128 * KIB, 512)).unwrap(), [0; 512], "zeros are no secret");
        assert_eq!(image.snapshots().len(), 1);
        let told = now(image.info()).unwrap().encryption.unwrap();
        let found = now(inspect(&disk)).unwrap();
        assert_eq!(found.encryption.as_ref(), Some(&told));
        assert_eq!(found.problems, []);
        compare_encryption(&lab, name, &told);
    }
}

/// With what `qemu-img info` says.
fn compare_encryption(lab: &Lab, name: &str, told: &EncryptionInfo) {
    let theirs = &lab.info(name)["format-specific"]["data"]["encrypt"];
    assert_eq!(theirs["format"], told.method().name());
    let EncryptionInfo::Luks(ours) = told else {
        return;
    };
    assert_eq!(theirs["cipher-alg"], format!("{}-{}", ours.cipher, ours.key_bits / 2));
    assert_eq!(
        ours.mode,
        format!("{}-{}", theirs["cipher-mode"].as_str().unwrap(), theirs["ivgen-alg"].as_str().unwrap())
    );
    assert_eq!(theirs["hash-alg"], *ours.hash);
    assert_eq!(theirs["uuid"], *ours.uuid);
    assert_eq!(theirs["master-key-iters"], ours.digest_iterations);
    let slots = theirs["slots"].as_array().unwrap();
    assert_eq!(slots.len(), ours.slots.len());
    for (theirs, ours) in slots.iter().zip(&ours.slots) {
        assert_eq!(theirs["active"], ours.active);
        assert_eq!(theirs["key-offset"], ours.offset);
        if ours.active {
            assert_eq!(theirs["iters"], ours.iterations);
            assert_eq!(theirs["stripes"], ours.stripes);
        }
    }
}

#[test]
fn the_passphrase_is_asked_for_when_it_is_needed() {
    let lab = Lab::new();
    lab.create_encrypted("disk", AES, MIB);
    lab.create("plain", "cluster_size=64k", MIB);
    let asked = Rc::new(RefCell::new(Vec::new()));
    let options = |answer: Option<&'static str>| {
        let asked = asked.clone();
        OpenOptions::new().ask_passphrase(move |request: PassphraseRequest| {
            asked.borrow_mut().push(request);
            async move { answer.map(Passphrase::from) }
        })
    };
    let file = |name| Disk::file(lab.path(name));
    now(Image::open(file("plain"), options(Some(PASSPHRASE)))).unwrap();
    assert_eq!(*asked.borrow(), []);
    now(Image::open(file("disk"), options(Some(PASSPHRASE)))).unwrap();
    let request = PassphraseRequest { depth: 0, encryption: Encryption::Aes };
    assert_eq!(*asked.borrow(), [request]);
    let error = refused(now(Image::open(file("disk"), options(None))));
    assert_eq!(error.code(), "PASSPHRASE_NEEDED");
}

/// Nothing that a program may print has the passphrase in it.
#[test]
fn nothing_shows_the_passphrase() {
    let passphrase = Passphrase::from(PASSPHRASE);
    let options: OpenOptions<()> = OpenOptions::new().passphrase(passphrase.clone());
    for text in [format!("{passphrase:?}"), format!("{options:?}")] {
        assert!(!text.contains("sesame") && !text.contains("111, 112"), "{text}");
    }
}
