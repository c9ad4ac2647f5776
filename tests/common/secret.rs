//! Encrypted images on QEMU's side, which wants each secret as an object and each file as options.

use super::lab::Lab;

/// The passphrase of every image, unless a test says otherwise.
pub const PASSPHRASE: &str = "open sesame";

/// QEMU's description of an encrypted image.
pub fn options(name: &str) -> String {
    format!("driver=qcow2,file.filename={name},encrypt.key-secret=key")
}

pub fn secret(passphrase: &str) -> [String; 2] {
    ["--object".into(), format!("secret,id=key,data={passphrase}")]
}

impl Lab {
    /// Makes an encrypted image; `options` as after `-o`, beside the key.
    pub fn create_encrypted(&self, name: &str, options: &str, size: u64) {
        self.create_with_passphrase(name, options, size, PASSPHRASE);
    }

    pub fn create_with_passphrase(&self, name: &str, options: &str, size: u64, passphrase: &str) {
        let [object, secret] = secret(passphrase);
        let options = format!("{options},encrypt.key-secret=key");
        let size = size.to_string();
        self.qemu_img(&["create", "-q", "-u", "-f", "qcow2", &object, &secret, "-o", &options, name, &size]);
    }

    /// Runs the commands on an encrypted image in one `qemu-io`; each has to succeed.
    pub fn io_encrypted(&self, image_options: &str, commands: &[String]) {
        let [object, secret] = secret(PASSPHRASE);
        let mut arguments = vec!["-t", "unsafe", &*object, &*secret];
        for command in commands {
            arguments.extend(["-c", command]);
        }
        arguments.extend(["--image-opts", image_options]);
        let output = self.run("qemu-io", &arguments);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let failed = !output.status.success() || said.contains("failed") || said.contains("rror");
        assert!(!failed, "qemu-io {arguments:?}: {said}");
    }

    /// The disk's contents by `qemu-img convert`; `arguments` as beside `--image-opts`.
    pub fn decrypted(&self, arguments: &[&str], image_options: &str) -> Vec<u8> {
        let [object, secret] = secret(PASSPHRASE);
        let convert = ["convert", "-O", "raw", &object, &secret];
        self.qemu_img(&[&convert[..], arguments, &["--image-opts", image_options, "decrypted"]].concat());
        self.bytes("decrypted")
    }

    pub fn snapshot_encrypted(&self, image_options: &str, snapshot: &str) {
        let [object, secret] = secret(PASSPHRASE);
        self.qemu_img(&["snapshot", &object, &secret, "-c", snapshot, "--image-opts", image_options]);
    }

    /// Makes sure that `qemu-img check` finds nothing in an encrypted image.
    pub fn check_encrypted(&self, name: &str) {
        let [object, secret] = secret(PASSPHRASE);
        self.qemu_img(&["check", "-q", &object, &secret, "--image-opts", &options(name)]);
    }
}
