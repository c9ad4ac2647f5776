//! Who writes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use imago::{FormatAccess, FormatDriverBuilder, PermissiveImplicitOpenGate};
use qcow2_rs::dev::{Qcow2Dev, Qcow2DevParams};
use qcow2_rs::sync_io::Qcow2IoSync;
use qcow2_rs::utils::qcow2_setup_dev_sync;
use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions, now_or_never};

use crate::contender::ENGINE;
use crate::cpu;
use crate::writing::Writes;

/// The raw file; what everything is compared with.
pub(crate) const RAW: Contender = in_process("raw", |path| open(File::options().write(true).open(path)));

/// Everybody who writes images.
pub(crate) const ALL: [Contender; 4] = [
    in_process(ENGINE, |path| open(engine(path))),
    in_process("imago 0.2.6, sync", |path| open(imago(path))),
    in_process("qcow2-rs 0.1.6, sync", |path| open(qcow2_rs(path))),
    Contender { name: "qemu-img bench -d 1 -w", how: How::QemuImgBench },
];

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    how: How,
}

enum How {
    InProcess(fn(&Path) -> Result<Box<dyn Writer>, String>),
    /// A program of its own, which tells its CPU time.
    QemuImgBench,
}

trait Writer {
    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<(), String>;

    /// Makes everything durable, so that another program can read it.
    fn flush(&mut self) -> Result<(), String>;
}

const fn in_process(name: &'static str, open: fn(&Path) -> Result<Box<dyn Writer>, String>) -> Contender {
    Contender { name, how: How::InProcess(open) }
}

fn open<W: Writer + 'static>(opened: Result<W, impl std::fmt::Display>) -> Result<Box<dyn Writer>, String> {
    opened.map(|writer| Box::new(writer) as Box<dyn Writer>).map_err(describe)
}

fn describe(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Contender {
    /// The CPU time of all writes in seconds, and of the flush and the closing of the file where they count; opening it
    /// never does.
    pub(crate) fn measure(&self, path: &Path, writes: &Writes) -> Result<f64, String> {
        let How::InProcess(open) = self.how else {
            return Ok(measure_qemu(path, writes));
        };
        let mut writer = open(path)?;
        let mut buffer = writes.buffer();
        let mut result = Ok(());
        let mut time = cpu::time(|| {
            result = writes.offsets().try_for_each(|offset| {
                writes.stamp(&mut buffer, offset);
                writer.write(offset, &buffer)
            });
        });
        let ending = cpu::time(|| {
            result = std::mem::replace(&mut result, Ok(())).and_then(|()| writer.flush());
            drop(writer);
        });
        if writes.flush_counts {
            time += ending;
        }
        result.map(|()| time)
    }

    /// Whether what it writes is stamped.
    pub(crate) fn stamps(&self) -> bool {
        matches!(self.how, How::InProcess(_))
    }
}

impl Writer for File {
    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<(), String> {
        self.write_all_at(buf, offset).map_err(describe)
    }

    fn flush(&mut self) -> Result<(), String> {
        self.sync_data().map_err(describe)
    }
}

fn engine(path: &Path) -> Result<Image<FileStorage>, String> {
    let storage = FileStorage::open_writable(path).map_err(describe)?;
    let image = now_or_never(Image::open_writable(storage, OpenOptions::new()));
    image.expect("files are always ready").map_err(describe)
}

impl Writer for Image<FileStorage> {
    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<(), String> {
        now_or_never(self.write_at(offset, buf)).expect("files are always ready").map_err(describe)
    }

    fn flush(&mut self) -> Result<(), String> {
        now_or_never(Image::flush(self)).expect("files are always ready").map_err(describe)
    }
}

type Imago = FormatAccess<imago::file::File>;

fn imago(path: &Path) -> Result<Imago, String> {
    let image = imago::qcow2::Qcow2::<imago::file::File>::builder_path(path)
        .write(true)
        .open(PermissiveImplicitOpenGate::default())
        .map_err(describe)?;
    Ok(FormatAccess::new(image))
}

impl Writer for Imago {
    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<(), String> {
        FormatAccess::write(self, buf, offset).map_err(describe)
    }

    fn flush(&mut self) -> Result<(), String> {
        FormatAccess::flush(self).and_then(|()| self.sync()).map_err(describe)
    }
}

type Qcow2Rs = Qcow2Dev<Qcow2IoSync>;

fn qcow2_rs(path: &Path) -> Result<Qcow2Rs, String> {
    let image = qcow2_setup_dev_sync(path, &Qcow2DevParams::new(9, None, None, false, false)).map_err(describe)?;
    now_or_never(image.qcow2_prep_io()).expect("files are always ready").map_err(describe)?;
    Ok(image)
}

impl Writer for Qcow2Rs {
    fn write(&mut self, offset: u64, buf: &[u8]) -> Result<(), String> {
        now_or_never(self.write_at(buf, offset)).expect("files are always ready").map_err(describe)
    }

    fn flush(&mut self) -> Result<(), String> {
        let flushed = now_or_never(async {
            self.flush_meta().await?;
            self.fsync_range(0, usize::MAX).await
        });
        flushed.expect("files are always ready").map_err(describe)
    }
}

/// It flushes when it closes the image, unless it is told that nothing has to be safe.
fn measure_qemu(path: &Path, writes: &Writes) -> f64 {
    let cache = if writes.flush_counts { "writeback" } else { "unsafe" };
    let bench = |count: usize| {
        cpu::time_of_children(|| {
            let status = Command::new("qemu-img")
                .args(["bench", "-w", "-f", "qcow2", "-d", "1", "--pattern", "165", "-t", cache])
                .args(["-c", &count.to_string(), "-s", &writes.length.to_string(), "-S", &writes.step().to_string()])
                .arg(path)
                .stdout(Stdio::null())
                .status();
            assert!(status.is_ok_and(|status| status.success()), "qemu-img bench failed");
        })
    };
    let all = bench(writes.count);
    // Without what starting it costs; by now the first cluster is allocated.
    (all - bench(1)).max(0.0)
}
