//! Chains of encrypted files, each with a passphrase of its own.

use qcow2_web::{BackingFile, BackingFormat, Image, OpenOptions, Passphrase, PassphraseRequest};

use crate::common::MIB;
use crate::common::disk::Disk;
use crate::common::lab::Lab;
use crate::common::reading::{assert_same, now, refused, whole};
use crate::common::secret::{PASSPHRASE, options};

const BASE_PASSPHRASE: &str = "another one";

fn chain(lab: &Lab) {
    lab.create_with_passphrase("base", "encrypt.format=aes", MIB, BASE_PASSPHRASE);
    let base = "driver=qcow2,file.filename=base,encrypt.key-secret=key";
    let fill = ["qemu-io", "-c", "write -q -P 3 0 700k"];
    let secret = format!("secret,id=key,data={BASE_PASSPHRASE}");
    let output = lab.run(fill[0], &["--object", &secret, fill[1], fill[2], "--image-opts", base]);
    assert!(output.status.success());
    let over = "encrypt.format=luks,encrypt.iter-time=10,backing_file=base,backing_fmt=qcow2";
    lab.create_encrypted("disk", over, MIB);
}

fn opened(
    lab: &Lab,
    ask: impl Fn(u32) -> &'static str + 'static,
) -> Result<Image<Disk>, qcow2_web::Error<std::io::Error>> {
    let base = BackingFile { format: Some(BackingFormat::Qcow2), ..BackingFile::from(Disk::file(lab.path("base"))) };
    let ask = move |request: PassphraseRequest| std::future::ready(Some(Passphrase::from(ask(request.depth))));
    let options = OpenOptions::new().backing(vec![base]).ask_passphrase(ask);
    now(Image::open(Disk::file(lab.path("disk")), options))
}

#[test]
fn each_file_has_its_own_passphrase() {
    let lab = Lab::new();
    chain(&lab);
    let second = format!("secret,id=base,data={BASE_PASSPHRASE}");
    let image_options = format!("{},backing.encrypt.key-secret=base", options("disk"));
    let first = format!("secret,id=key,data={PASSPHRASE}");
    let write = ["--object", &first, "--object", &second, "-c", "write -q -P 4 70k 3k", "--image-opts", &image_options];
    assert!(lab.run("qemu-io", &write).status.success());
    let expected = lab.decrypted(&["--object", &second], &image_options);
    let image = opened(&lab, |depth| if depth == 0 { PASSPHRASE } else { BASE_PASSPHRASE }).unwrap();
    assert_same(&now(whole(&image)).unwrap(), &expected, "the chain");
    let error = refused(opened(&lab, |_| BASE_PASSPHRASE));
    assert_eq!((error.code(), error.depth()), ("WRONG_PASSPHRASE", 0));
}
