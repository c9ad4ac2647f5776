//! An image for tokio: the engine's futures are not `Send`, so an actor on its own thread owns the image.
//!
//! `cargo run --example tokio_actor disk.qcow2` reads some sectors from several tasks at once.

use std::error::Error;
use std::path::PathBuf;

use qcow2_web::blocking::wait;
use qcow2_web::storage::FileStorage;
use qcow2_web::{Image, OpenOptions};
use tokio::sync::{mpsc, oneshot};

/// A request to the actor, which sends its answer through the channel.
struct Read {
    offset: u64,
    length: usize,
    answer: oneshot::Sender<Result<Vec<u8>, String>>,
}

/// An image that tasks on any thread can read. A clone is the same image.
#[derive(Clone)]
pub struct SharedImage(mpsc::Sender<Read>);

impl SharedImage {
    /// Opens the image on a thread that ends with the last clone.
    pub async fn open(path: PathBuf) -> Result<Self, String> {
        let (requests, mut inbox) = mpsc::channel::<Read>(64);
        let (opened, ready) = oneshot::channel();
        std::thread::spawn(move || {
            let file = FileStorage::open(&path).map_err(|error| error.to_string());
            let image =
                file.and_then(|file| wait(Image::open(file, OpenOptions::new())).map_err(|error| error.to_string()));
            let image = match image {
                Ok(image) => image,
                Err(error) => return drop(opened.send(Err(error))),
            };
            if opened.send(Ok(())).is_err() {
                return;
            }
            while let Some(Read { offset, length, answer }) = inbox.blocking_recv() {
                let mut bytes = vec![0; length];
                let read = wait(image.read_at(offset, &mut bytes)).map_err(|error| error.to_string());
                // The task may have been cancelled meanwhile.
                let _ = answer.send(read.map(|()| bytes));
            }
        });
        ready.await.map_err(|_| "the thread ended")??;
        Ok(Self(requests))
    }

    /// Reads `length` bytes of the disk.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, String> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Read { offset, length, answer }).await.map_err(|_| "the thread ended")?;
        answered.await.map_err(|_| "the thread ended")?
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: tokio_actor IMAGE")?;
    let image = SharedImage::open(path.into()).await?;
    let reads = [0, 4096, 8192].map(|offset| {
        let image = image.clone();
        tokio::spawn(async move { image.read(offset, 16).await })
    });
    for read in reads {
        println!("{}", read.await??.escape_ascii());
    }
    Ok(())
}
