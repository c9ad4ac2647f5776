//! The images, made once and kept for the next run.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::random::Random;
use crate::stop;

/// The sparse image has a write of 4 KiB for so many bytes of its disk: a fifth of its clusters are allocated.
const BYTES_A_WRITE: u64 = 256 << 10;

pub(crate) struct Images {
    folder: PathBuf,
    /// Of each disk, in bytes.
    pub(crate) size: u64,
}

impl Images {
    /// Makes what is missing in `folder`.
    ///
    /// | name | what |
    /// |---|---|
    /// | allocated | noise, every cluster allocated |
    /// | sparse | writes of 4 KiB anywhere, which allocate a fifth of the clusters |
    /// | deflate, zstd | the files of /usr, compressed |
    pub(crate) fn prepare(folder: &Path, size: u64) -> Self {
        let images = Self::prepare_allocated(folder, size);
        images.image("sparse", |image| write_sparse(image, size));
        let files = images.input("files", |file| write_files(file, size));
        images.image("deflate", |image| convert(&files, image, &["-c", "-O", "qcow2"]));
        images.image("zstd", |image| convert(&files, image, &["-c", "-O", "qcow2", "-o", "compression_type=zstd"]));
        images
    }

    /// As [`Images::prepare`], the image `allocated` alone.
    pub(crate) fn prepare_allocated(folder: &Path, size: u64) -> Self {
        let images = Self { folder: folder.join(format!("{}-mib", size >> 20)), size };
        fs::create_dir_all(&images.folder).unwrap_or_else(|error| stop(&format!("{}: {error}", folder.display())));
        let noise = images.input("noise", |file| write_noise(file, size, 1 << 20));
        images.image("allocated", |image| convert(&noise, image, &["-O", "qcow2"]));
        images
    }

    pub(crate) fn qcow2(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.qcow2"))
    }

    /// The raw file of the same disk.
    pub(crate) fn raw(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.raw"))
    }

    /// The raw file of noise, written just now, a little at a time.
    pub(crate) fn raw_in_small_pages(&self) -> PathBuf {
        let path = self.folder.join("small-pages.raw");
        write_noise(&path, self.size, 8 << 10);
        path
    }

    /// Makes the page cache hold the image and its raw file in pages of the same kind.
    ///
    /// A file that was just written is cached in pages as large as the writes were, and large ones are read faster, by
    /// a third or more. So both are dropped from the cache and read in again.
    pub(crate) fn warm(&self, name: &str) {
        for path in [self.qcow2(name), self.raw(name)] {
            let mut file = File::options().read(true).write(true).open(path).expect("the image is there");
            file.sync_all().expect("the file can be written out");
            // SAFETY: a call without pointers.
            let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
            assert_eq!(result, 0, "posix_fadvise failed");
            read_all(&mut file).expect("the file can be read");
        }
    }

    fn input(&self, name: &str, make: impl FnOnce(&Path)) -> PathBuf {
        let path = self.folder.join(format!("{name}.input"));
        make_once(&path, make);
        path
    }

    fn image(&self, name: &str, make: impl FnOnce(&Path)) {
        let image = self.qcow2(name);
        make_once(&image, make);
        make_once(&self.raw(name), |raw| convert(&image, raw, &["-O", "raw"]));
    }
}

/// Makes a file under another name first, so that a run that was stopped leaves no half of one.
fn make_once(path: &Path, make: impl FnOnce(&Path)) {
    if path.exists() {
        return;
    }
    println!("making {}", path.display());
    let unfinished = path.with_extension("part");
    make(&unfinished);
    fs::rename(&unfinished, path).expect("the file was just made");
}

/// Writes a block of `block` bytes at a time.
fn write_noise(path: &Path, size: u64, block: usize) {
    let mut random = Random::seeded(2);
    let mut file = File::create(path).expect("the folder can be written");
    let mut block = vec![0; block];
    for _ in 0..size / block.len() as u64 {
        block.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
        file.write_all(&block).expect("the folder can be written");
    }
}

fn write_files(path: &Path, size: u64) {
    let tar = Command::new("tar").args(["-C", "/", "--sort=name", "-cf", "-", "usr"]).stdout(Stdio::piped()).spawn();
    let mut tar = tar.unwrap_or_else(|error| stop(&format!("tar: {error}")));
    let mut file = File::create(path).expect("the folder can be written");
    let files = tar.stdout.take().expect("it is piped");
    std::io::copy(&mut files.take(size), &mut file).expect("tar writes");
    // Where /usr is smaller, the rest is a hole.
    file.set_len(size).expect("the file can grow");
    // It may have more to write: then it ends by the closed pipe.
    let _ = tar.wait();
}

fn write_sparse(path: &Path, size: u64) {
    qemu("qemu-img", &["create", "-q", "-f", "qcow2", text(path), &size.to_string()]);
    let mut random = Random::seeded(3);
    let writes: Vec<_> = (0..size / BYTES_A_WRITE)
        .map(|index| format!("write -q -P {} {} 4k", 1 + index % 255, random.below(size >> 12) << 12))
        .collect();
    let mut child = Command::new("qemu-io")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| stop(&format!("qemu-io: {error}")));
    let mut pipe = child.stdin.take().expect("it is piped");
    pipe.write_all(writes.join("\n").as_bytes()).expect("qemu-io reads");
    drop(pipe);
    assert!(child.wait().expect("qemu-io ends").success());
}

fn convert(from: &Path, to: &Path, options: &[&str]) {
    let format = if from.extension().is_some_and(|extension| extension == "qcow2") { "qcow2" } else { "raw" };
    qemu("qemu-img", &[&["convert", "-f", format], options, &[text(from), text(to)]].concat());
}

fn qemu(program: &str, arguments: &[&str]) {
    match Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => {}
        Ok(status) => stop(&format!("{program} {}: {status}", arguments.join(" "))),
        Err(error) => stop(&format!("{program}: {error}")),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| stop("the folder's name is no UTF-8"))
}

fn read_all(file: &mut File) -> std::io::Result<()> {
    let mut block = vec![0; 1 << 20];
    while file.read(&mut block)? > 0 {}
    Ok(())
}
