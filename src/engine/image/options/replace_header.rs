//! Replacing the header so that a crash leaves the old one or the new one, even if writes are torn.
//!
//! Storage writes a sector completely or not at all, and the header's fields are in the first sector. So the other
//! sectors of the new header are written first, where the old header has nothing, and the first sector switches to
//! them. If both headers need the same sectors, the new header is first written after the old one and from there to its
//! final position.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::{CreateFault, Error};
use crate::format::header::RawHeader;
use crate::format::header::emit_changed::{ChangedHeader, Placement};
use crate::format::units::HostOffset;
use crate::meta::host_file::HostFile;
use crate::storage::{Storage, StorageMut};

/// The unit that storage writes atomically.
const SECTOR: usize = 512;

/// The bytes of a header that is to be replaced.
pub(crate) struct OldHeader {
    /// The first cluster, up to the end of the file.
    pub(crate) bytes: Vec<u8>,
    /// The backing file's name; empty if there is none.
    pub(crate) backing_name: Vec<u8>,
}

impl OldHeader {
    pub(crate) async fn read<S: Storage>(file: &HostFile<S>, header: &RawHeader) -> Result<Self, Error<S::Error>> {
        let bytes = file.read_up_to(HostOffset(0), 1 << header.cluster_bits).await.map_err(Error::Storage)?;
        let backing_name = match header.backing_name() {
            Some((offset, length)) => file.read_up_to(offset, length).await.map_err(Error::Storage)?,
            None => Vec::new(),
        };
        Ok(Self { bytes, backing_name })
    }
}

/// Replaces the header of `file` with `header` and `changed`. Everything written before is durable first.
pub(crate) async fn replace_header<S: StorageMut>(
    file: &HostFile<S>,
    header: &RawHeader,
    changed: &ChangedHeader<'_>,
) -> Result<(), Error<S::Error>> {
    let new = changed.emit(header, Placement::Compact);
    let cluster_size = 1usize << header.cluster_bits;
    if new.len() > cluster_size {
        let (length, cluster_size) = (new.len() as u64, cluster_size as u64);
        return Err(CreateFault::NamesTooLong { length, cluster_size }.into());
    }
    file.flush().await.map_err(Error::Storage)?;
    let used = changed.used().max(SECTOR);
    let mut end = used;
    if new.len() > SECTOR && changed.old.get(SECTOR..new.len()) != Some(&new[SECTOR..]) {
        if used > SECTOR {
            match move_away(file, header, changed, used.max(new.len())).await? {
                Some(moved_end) => end = moved_end,
                // As safe as QEMU, which always replaces the header with one write.
                None => return write_durably(file, 0, &padded(&new, used)).await,
            }
        }
        write_durably(file, SECTOR, &new[SECTOR..]).await?;
    }
    write_durably(file, 0, &padded(&new, SECTOR)[..SECTOR]).await?;
    // Clear what is left of the other headers; nothing refers to it any more.
    let rest = new.len().max(SECTOR)..end;
    if rest.is_empty() { Ok(()) } else { write_durably(file, rest.start, &vec![0; rest.len()]).await }
}

/// Writes the new header after `used`, except for its first sector, and switches to it. Returns its end, or `None` if
/// there is no room.
async fn move_away<S: StorageMut>(
    file: &HostFile<S>,
    header: &RawHeader,
    changed: &ChangedHeader<'_>,
    used: usize,
) -> Result<Option<usize>, Error<S::Error>> {
    let position = used.next_multiple_of(SECTOR);
    let moved = changed.emit(header, Placement::At(position));
    if moved.len() > 1 << header.cluster_bits || changed.first_extension(header) > SECTOR {
        return Ok(None);
    }
    write_durably(file, position, &moved[position..]).await?;
    write_durably(file, 0, &moved[..SECTOR]).await?;
    Ok(Some(moved.len()))
}

/// Appends zeros up to `length`.
fn padded(bytes: &[u8], length: usize) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().max(length), 0);
    padded
}

/// Writes durably.
async fn write_durably<S: StorageMut>(file: &HostFile<S>, at: usize, bytes: &[u8]) -> Result<(), Error<S::Error>> {
    file.write(HostOffset(at as u64), bytes).await.map_err(Error::Storage)?;
    file.flush().await.map_err(Error::Storage)
}
