//! Moving L2 tables, data clusters and compressed clusters, and making their links point to the copies.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::references::{Link, target_of};
use super::{MAX_BATCH, Task};
use crate::error::Error;
use crate::format::l1::{L1_ENTRY_SIZE, L1Entry};
use crate::format::l2::{CompressedSpan, L2Entry};
use crate::format::units::{GuestOffset, HostOffset, usize_of};
use crate::image::Image;
use crate::image::change::disk::Disk;
use crate::image::progress::Steps;
use crate::meta::attempt::Pins;
use crate::meta::reservation::Reservation;
use crate::storage::StorageMut;

/// The most scans of one pass, if requests copy tables meanwhile or if there are more links than memory for them.
const MAX_SCANS: usize = 1000;
const SECTOR: u64 = 512;

/// What a link refers to, at its new host offset.
#[derive(Clone, Copy)]
enum Target {
    L2Table(HostOffset),
    Data(HostOffset),
    Compressed(CompressedSpan),
}

/// How the moves of a list of links ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// All links were dealt with. Those that were left in place stay for the next pass.
    Complete,
    /// No cluster before the target is free.
    Full,
    /// A table was moved or copied, so there may be other links.
    Outdated,
}

impl<S: StorageMut> Image<S> {
    /// Moves the L2 tables at or after cluster `target`.
    pub(super) async fn move_l2_tables(&self, target: u64, steps: &mut Steps<'_>) -> Result<(), Error<S::Error>> {
        let found = self.l2_tables(target).await?;
        let (links, _) = found.links.into_sorted();
        self.move_links(&links, true, found.table_changes, target, steps).await.map(drop)
    }

    /// Moves the clusters at or after `target` to which L2 entries refer.
    pub(super) async fn move_clusters(&self, target: u64, steps: &mut Steps<'_>) -> Result<(), Error<S::Error>> {
        for _ in 0..MAX_SCANS {
            let tables = self.l2_tables(u64::MAX).await?;
            let Some(links) = self.links(&tables, target).await? else {
                continue;
            };
            let (links, are_more) = links.into_sorted();
            let ended = self.move_links(&links, false, tables.table_changes, target, steps).await?;
            if ended == Ended::Full || ended == Ended::Complete && !are_more {
                break;
            }
        }
        Ok(())
    }

    /// Moves what `links` refer to, in batches: L2 tables if `are_l1`, otherwise clusters. The links were found when the
    /// table changes were `table_changes`.
    fn move_links<'a>(
        &'a self,
        links: &'a [Link],
        are_l1: bool,
        mut table_changes: u64,
        target: u64,
        steps: &'a mut Steps<'_>,
    ) -> Task<'a, Ended, S::Error> {
        Box::pin(async move {
            let mut rest = links;
            while !rest.is_empty() {
                let closed = self.exclusive().await?;
                let disk = Disk::exclusive(&self.top, self.writable()?, &closed);
                if disk.writeback.table_changes() != table_changes {
                    return Ok(Ended::Outdated);
                }
                let moved = match rest.first() {
                    _ if are_l1 => disk.move_l2_table(rest, target),
                    Some(Link { compressed: 1.., .. }) => disk.move_compressed(rest, target),
                    _ => disk.move_data(rest, target),
                };
                let moved = moved.await;
                let Some(count) = disk.conclude(moved).await? else {
                    return Ok(Ended::Full);
                };
                disk.write_back_if_due().await?;
                table_changes = disk.writeback.table_changes();
                let (done, left) = rest.split_at(count.clamp(1, rest.len()));
                rest = left;
                drop(closed);
                disk.pause().await;
                steps.advance(clusters_of(done))?;
            }
            Ok(Ended::Complete)
        })
    }
}

impl<S: StorageMut> Disk<'_, S> {
    /// Moves the first L2 table of `links`. Returns how many links it has; `None` if no cluster before `target` is free.
    fn move_l2_table<'a>(&'a self, links: &'a [Link], target: u64) -> Task<'a, Option<usize>, S::Error> {
        Box::pin(async move {
            let (writeback, image) = (self.writeback, &self.file.files.image);
            let group = first_group(links);
            let old = group[0].host;
            if !self.has_all_references(group).await? {
                return Ok(Some(group.len()));
            }
            let reservation = self.reserve_clusters(1).await?;
            let new = reservation.start();
            if reservation.clusters().end > target {
                return Ok(None);
            }
            let guard = writeback.lock.acquire().await;
            writeback.add_table(image, new);
            writeback.copy_table(image, old, new).await?;
            drop(guard);
            if self.relink(group, Target::L2Table(new)).await? {
                reservation.keep();
                let active = self.l1.offset..self.l1.offset.plus(self.l1.entries * L1_ENTRY_SIZE);
                if group.iter().any(|link| active.contains(&link.at)) {
                    writeback.register_table(new);
                    writeback.unregister_table(old);
                }
                writeback.count_table_change();
            }
            Ok(Some(group.len()))
        })
    }

    /// Moves the first data clusters of `links` that are contiguous. Returns how many links they have; `None` if no cluster
    /// before `target` is free.
    fn move_data<'a>(&'a self, links: &'a [Link], target: u64) -> Task<'a, Option<usize>, S::Error> {
        Box::pin(async move {
            let bits = self.geometry().cluster_bits();
            let host = links[0].host;
            let mut groups: Vec<&[Link]> = Vec::new();
            for group in links.chunk_by(Link::has_same_target).take(usize_of((MAX_BATCH >> bits).max(1))) {
                let continues = group[0].compressed == 0 && group[0].host == host.plus((groups.len() as u64) << bits);
                if !continues || !self.is_movable(group).await? {
                    break;
                }
                groups.push(group);
            }
            if groups.is_empty() {
                return Ok(Some(first_group(links).len()));
            }
            // What is after the target is freed with the reservation.
            let mut reservation = self.reserve_clusters(groups.len() as u64).await?;
            let clusters = reservation.clusters();
            groups.truncate(usize_of(clusters.end.min(target).saturating_sub(clusters.start)));
            if groups.is_empty() {
                return Ok(None);
            }
            let new = reservation.start();
            self.copy_data(host, new, (groups.len() as u64) << bits).await?;
            let mut moved = 0;
            for (group, index) in groups.iter().zip(0..) {
                if !self.relink(group, Target::Data(new.plus(index << bits))).await? {
                    break;
                }
                reservation.keep_first();
                moved += group.len();
            }
            Ok(Some(moved))
        })
    }

    /// Moves the first compressed clusters of `links`. Returns how many links they have; `None` if no cluster before
    /// `target` is free.
    fn move_compressed<'a>(&'a self, links: &'a [Link], target: u64) -> Task<'a, Option<usize>, S::Error> {
        Box::pin(async move {
            let geometry = self.geometry();
            let (image, writeback) = (&self.file.files.image, self.writeback);
            let mut groups = links.chunk_by(Link::has_same_target).peekable();
            let (mut count, mut bytes) = (0, 0);
            while let Some(group) = groups.next().filter(|group| group[0].compressed > 0 && bytes < MAX_BATCH) {
                count += group.len();
                let old = CompressedSpan { start: group[0].host, length: group[0].compressed };
                let length = length_of_stream(old, groups.peek().map(|next| next[0].host));
                bytes += length;
                if !self.is_movable(group).await? {
                    continue;
                }
                let reservation = if length < geometry.cluster_size() {
                    let _guard = writeback.lock.acquire().await;
                    let start = writeback.allocate_bytes(image, length).await?;
                    let clusters = CompressedSpan::of_bytes(start, length).clusters(geometry);
                    Reservation::new(writeback, clusters, start)
                } else {
                    self.reserve_clusters(length.div_ceil(geometry.cluster_size())).await?
                };
                let new = CompressedSpan::of_bytes(reservation.start(), length);
                if new.clusters(geometry).end > target {
                    return Ok(None);
                }
                if reservation.clusters() != new.clusters(geometry) {
                    continue;
                }
                self.check_host(new.start, length)?;
                let mut stream = vec![0; usize_of(length)];
                image.read(old.start, &mut stream).await.map_err(Error::Storage)?;
                writeback.check_writable()?;
                image.write(new.start, &stream).await.map_err(Error::Storage)?;
                // What was there before is not read any more: no cluster is reused while a request may still use it.
                self.file.compressed.forget(image.id(), new);
                if self.relink(group, Target::Compressed(new)).await? {
                    reservation.keep();
                }
            }
            Ok(Some(count))
        })
    }

    /// Reserves up to `wanted` contiguous clusters.
    fn reserve_clusters(&self, wanted: u64) -> Task<'_, Reservation<'_>, S::Error> {
        Box::pin(async move {
            let _guard = self.writeback.lock.acquire().await;
            let clusters = self.writeback.allocate(&self.file.files.image, wanted).await?;
            let start = HostOffset(clusters.start << self.geometry().cluster_bits());
            Ok(Reservation::new(self.writeback, clusters, start))
        })
    }

    /// Returns whether the L2 entries of `links`, which refer to the same bytes, still do, and whether they can move.
    fn is_movable<'a>(&'a self, links: &'a [Link]) -> Task<'a, bool, S::Error> {
        Box::pin(async move {
            for link in links {
                let entry = self.entry_at(link.at, self.geometry().extended_l2()).await?;
                let expected = (link.host, link.compressed);
                if target_of(entry, self).is_none_or(|(host, length, _)| (host, length) != expected) {
                    return Ok(false);
                }
            }
            // In a corrupt image, a table may be in the same cluster.
            if self.check_host(links[0].host, links[0].compressed.max(1)).is_err() {
                return Ok(false);
            }
            // Other compressed clusters share the host clusters of a compressed one.
            Ok(links[0].compressed > 0 || self.has_all_references(links).await?)
        })
    }

    /// Returns whether the cluster that `links` refer to has no other references.
    fn has_all_references<'a>(&'a self, links: &'a [Link]) -> Task<'a, bool, S::Error> {
        Box::pin(async move {
            let cluster = links[0].host.0 >> self.geometry().cluster_bits();
            let entry = self.writeback.refcounts.entry(&self.file.files.image, cluster).await?;
            Ok(entry.is_some_and(|entry| entry.get() == references_of(links)))
        })
    }

    /// Makes the entries of `links` refer to `target`, which is reserved with one reference, with all their references, and
    /// frees what they referred to. Returns false, without a change, if the refcounts are too narrow.
    fn relink<'a>(&'a self, links: &'a [Link], target: Target) -> Task<'a, bool, S::Error> {
        Box::pin(async move {
            let (image, writeback, tables) = (&self.file.files.image, self.writeback, &self.file.tables);
            let _guard = writeback.lock.acquire().await;
            let more = references_of(links) - 1;
            let bits = self.geometry().cluster_bits();
            let clusters_of = |target: Target| -> Range<u64> {
                match target {
                    Target::L2Table(host) | Target::Data(host) => host.0 >> bits..(host.0 >> bits) + 1,
                    Target::Compressed(span) => span.clusters(self.geometry()),
                }
            };
            let mut refcounts = Vec::new();
            for cluster in clusters_of(target) {
                match writeback.refcounts.entry(image, cluster).await? {
                    Some(entry) if entry.get() + more <= writeback.refcounts.max() => refcounts.push(entry),
                    _ => return Ok(false),
                }
            }
            let has_bitmap = self.geometry().extended_l2() && !matches!(target, Target::L2Table(_));
            // While these exist, the tables of the entries stay cached.
            let (mut slices, mut entries) = (Vec::new(), Vec::new());
            for link in links {
                let old = self.entry_at(link.at, has_bitmap).await?;
                slices.push(tables.slice(image, tables.slice_size().split(link.at).0).await?);
                let new = match target {
                    Target::L2Table(host) => L2Entry { word: L1Entry(old.word).with_l2_table(host).0, bitmap: 0 },
                    Target::Data(host) => old.with_host(host),
                    Target::Compressed(span) => L2Entry::compressed(span, self.geometry()),
                };
                entries.push((link.at, new));
            }
            // Nothing waits from here on, because all tables are cached.
            for entry in refcounts {
                entry.set(entry.get() + more);
            }
            for (at, entry) in entries {
                let set = || match target {
                    Target::L2Table(_) => writeback.set_l1_entry(image.id(), at, L1Entry(entry.word)),
                    _ => writeback.set_l2_entry(image.id(), at, entry),
                };
                while let Err(stop) = set() {
                    tables.cache().resume(image, tables.slice_size(), stop, &mut Pins::default()).await?;
                }
            }
            drop(slices);
            let old = match target {
                Target::Compressed(_) => {
                    Target::Compressed(CompressedSpan { start: links[0].host, length: links[0].compressed })
                }
                _ => Target::Data(links[0].host),
            };
            for _ in 0..=more {
                writeback.free(clusters_of(old));
            }
            Ok(true)
        })
    }

    /// Returns the entry at host offset `at` of an L1 or L2 table.
    fn entry_at(&self, at: HostOffset, has_bitmap: bool) -> Task<'_, L2Entry, S::Error> {
        Box::pin(async move {
            let (start, within) = self.file.tables.slice_size().split(at);
            let slice = self.file.tables.slice(&self.file.files.image, start).await?;
            Ok(L2Entry { word: slice.word(within), bitmap: if has_bitmap { slice.word(within + 8) } else { 0 } })
        })
    }

    /// Copies the data of whole host clusters. The data of LUKS is encrypted anew, because its key stream depends on the
    /// host offset.
    async fn copy_data(&self, from: HostOffset, to: HostOffset, length: u64) -> Result<(), Error<S::Error>> {
        let image = &self.file.files.image;
        self.check_host(to, length)?;
        let mut data = vec![0; usize_of(length)];
        if let Some(encrypted) = self.file.encrypted.as_ref().filter(|encrypted| encrypted.is_by_host_offset()) {
            encrypted.read(image, GuestOffset(0), from, &mut data).await?;
            let check = || self.writeback.check_writable();
            return encrypted.write(image, GuestOffset(0), to, &data, check).await;
        }
        image.read(from, &mut data).await.map_err(Error::Storage)?;
        self.writeback.check_writable()?;
        image.write(to, &data).await.map_err(Error::Storage)
    }
}

/// Returns the first links that refer to the same bytes.
fn first_group(links: &[Link]) -> &[Link] {
    links.chunk_by(Link::has_same_target).next().unwrap_or(links)
}

fn references_of(links: &[Link]) -> u64 {
    links.iter().map(|link| link.references).sum()
}

/// Returns how many clusters that are not compressed the links refer to.
fn clusters_of(links: &[Link]) -> u64 {
    links.chunk_by(Link::has_same_target).filter(|group| group[0].compressed == 0).count() as u64
}

/// Returns the length of the compressed bytes in `span`. An entry has it only in sectors, but a stream ends in its last
/// sector, and before the next one begins.
fn length_of_stream(span: CompressedSpan, next: Option<HostOffset>) -> u64 {
    let end = next.filter(|next| (span.end().0 - SECTOR + 1..span.end().0).contains(&next.0));
    end.filter(|end| *end > span.start).map_or(span.length, |end| end.0 - span.start.0)
}
