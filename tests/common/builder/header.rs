//! The header of an image, with its extensions and the name of its backing file.

use super::{Builder, Built, extension, field, u32_of};

const DATA_FILE_BIT: u64 = 1 << 2;
const COMPRESSION_BIT: u64 = 1 << 3;
const EXTENDED_L2_BIT: u64 = 1 << 4;
const RAW_DATA_BIT: u64 = 1 << 1;

impl Built {
    pub(super) fn write_header(&mut self, refcount_table: u64, refcount_clusters: u64) {
        let plan = self.plan.clone();
        let bit = |set: bool, bit: u64| if set { bit } else { 0 };
        let put = |built: &mut Self, at: u64, value: u64, length: usize| {
            built.set(at, &value.to_be_bytes()[8 - length..]);
        };
        self.set(field::MAGIC, b"QFI\xfb");
        put(self, field::VERSION, plan.version.into(), 4);
        put(self, field::CLUSTER_BITS, plan.cluster_bits.into(), 4);
        put(self, field::SIZE, plan.size, 8);
        put(self, field::L1_SIZE, self.l1_entries, 4);
        put(self, field::L1_TABLE_OFFSET, self.l1, 8);
        put(self, field::REFCOUNT_TABLE_OFFSET, refcount_table, 8);
        put(self, field::REFCOUNT_TABLE_CLUSTERS, refcount_clusters, 4);
        put(self, field::NB_SNAPSHOTS, plan.snapshots.len() as u64, 4);
        put(self, field::SNAPSHOTS_OFFSET, self.snapshot_table, 8);
        if plan.version >= 3 {
            let incompatible = bit(plan.data_file.is_some(), DATA_FILE_BIT)
                | bit(plan.zstd, COMPRESSION_BIT)
                | bit(plan.extended_l2, EXTENDED_L2_BIT);
            let raw = plan.data_file.as_ref().is_some_and(|data_file| data_file.raw);
            put(self, field::INCOMPATIBLE, incompatible, 8);
            put(self, field::AUTOCLEAR, bit(raw, RAW_DATA_BIT), 8);
            put(self, field::REFCOUNT_ORDER, 4, 4);
            put(self, field::HEADER_LENGTH, plan.header_length.into(), 4);
            if plan.header_length > 104 {
                put(self, field::COMPRESSION_TYPE, plan.zstd.into(), 1);
            }
        }
        self.write_extensions(&plan);
    }

    fn write_extensions(&mut self, plan: &Builder) {
        let mut area = Vec::new();
        let mut add = |kind: u32, data: &[u8]| {
            area.extend(kind.to_be_bytes());
            area.extend(u32_of(data.len() as u64).to_be_bytes());
            area.extend(data);
            area.resize(area.len().next_multiple_of(8), 0);
        };
        if let Some((_, Some(format))) = &plan.backing {
            add(extension::BACKING_FORMAT, format.as_bytes());
        }
        if let Some(data_file) = &plan.data_file {
            add(extension::DATA_FILE, data_file.name.as_bytes());
        }
        for (kind, data) in &plan.extensions {
            add(*kind, data);
        }
        add(0, &[]);
        self.set(u64::from(plan.header_length), &area);
        if let Some((name, _)) = &plan.backing {
            let offset = u64::from(plan.header_length) + area.len() as u64;
            self.set(offset, name.as_bytes());
            self.set(field::BACKING_FILE_OFFSET, &offset.to_be_bytes());
            let length = u32_of(name.len() as u64);
            self.set(field::BACKING_FILE_SIZE, &length.to_be_bytes());
        }
    }
}
