//! A file of a machine, for the engine.

use qcow2_web::{Storage, StorageMut};

use super::{Change, Failure, Machine, Request};

/// A file of a machine.
#[derive(Clone)]
pub struct File {
    pub(super) machine: Machine,
    pub(super) number: usize,
}

impl File {
    pub fn bytes(&self) -> Vec<u8> {
        self.machine.with_files(|files| files[self.number].clone())
    }
}

impl Storage for File {
    type Error = Failure;

    async fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        let range = offset..offset.checked_add(buf.len() as u64).ok_or(Failure::PastEnd)?;
        let bytes = self.machine.ask(Request::Read { file: self.number, range }).answer().await?;
        buf.copy_from_slice(&bytes);
        Ok(())
    }

    async fn size(&self) -> Result<u64, Failure> {
        Ok(self.machine.with_files(|files| files[self.number].len() as u64))
    }
}

impl StorageMut for File {
    async fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Failure> {
        let change = Change::Write { offset, data: buf.into() };
        self.machine.ask(Request::Change { file: self.number, change }).answer().await.map(drop)
    }

    async fn set_size(&self, size: u64) -> Result<(), Failure> {
        let change = Change::SetSize(size);
        self.machine.ask(Request::Change { file: self.number, change }).answer().await.map(drop)
    }

    async fn flush(&self) -> Result<(), Failure> {
        self.machine.ask(Request::Flush { file: self.number }).answer().await.map(drop)
    }
}
