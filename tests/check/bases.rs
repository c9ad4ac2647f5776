//! The images that are damaged: one of every kind, made by QEMU.

use crate::common::lab::Lab;

/// A sound image, and how to make it.
#[derive(Clone, Debug)]
pub struct Base {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// The names of other files that some of the images need beside them.
pub const BACKING: &str = "backing.raw";
pub const DATA: &str = "data.raw";

struct Recipe {
    name: &'static str,
    options: &'static str,
    size: u64,
    steps: &'static [Step],
}

enum Step {
    Io(&'static [&'static str]),
    Snapshot(&'static str),
    Bitmap(&'static str),
    /// qemu-io is killed before it closes the image.
    Killed(&'static [&'static str]),
    /// Put under a file of its own.
    Backed,
}

use Step::{Backed, Bitmap, Io, Killed, Snapshot};

const MIXED: Step = Io(&[
    "write -q -P 1 0 20k",
    "write -q -P 2 64k 64k",
    "write -q -z 128k 64k",
    "write -q -P 3 200k 40k",
    "write -q -z 204k 8k",
    "discard -q 72k 8k",
    "write -q -P 4 500k 10k",
]);
const LARGE: Step = Io(&[
    "write -q -P 1 0 200k",
    "write -q -z 128k 64k",
    "write -q -P 3 512k 130k",
    "write -q -z -u 576k 64k",
    "write -q -P 4 960k 64k",
]);

const RECIPES: [Recipe; 20] = [
    Recipe { name: "plain", options: "cluster_size=64k", size: 1 << 20, steps: &[LARGE] },
    Recipe { name: "version 2", options: "cluster_size=4k,compat=0.10", size: 1 << 20, steps: &[MIXED] },
    Recipe {
        name: "version 2, snapshots",
        options: "cluster_size=4k,compat=0.10",
        size: 1 << 20,
        steps: &[MIXED, Snapshot("a"), Io(&["write -q -P 9 4k 70k"]), Snapshot("b"), Io(&["write -q -P 8 0 4k"])],
    },
    Recipe {
        name: "version 2, backing file",
        options: "cluster_size=4k,compat=0.10",
        size: 1 << 20,
        steps: &[Backed, MIXED],
    },
    Recipe { name: "512-byte clusters", options: "cluster_size=512", size: 256 << 10, steps: &[SMALL] },
    Recipe { name: "extended", options: "cluster_size=16k,extended_l2=on", size: 1 << 20, steps: &[MIXED] },
    Recipe {
        name: "extended, backing file, snapshot",
        options: "cluster_size=32k,extended_l2=on",
        size: 1 << 20,
        steps: &[Backed, MIXED, Snapshot("a"), Io(&["write -q -P 9 30k 70k"])],
    },
    Recipe {
        name: "extended, compressed",
        options: "cluster_size=16k,extended_l2=on",
        size: 1 << 20,
        steps: &[MIXED, Io(&["write -q -c -P 7 256k 64k", "write -q -c -P 6 704k 64k"])],
    },
    Recipe {
        name: "compressed",
        options: "cluster_size=4k",
        size: 1 << 20,
        steps: &[Io(&["write -q -c -P 7 0 64k", "write -q -P 3 100k 20k", "write -q -c -P 6 704k 32k"])],
    },
    Recipe {
        name: "zstd, snapshot",
        options: "cluster_size=64k,compression_type=zstd",
        size: 1 << 20,
        steps: &[Io(&["write -q -c -P 7 0 192k"]), Snapshot("a"), Io(&["write -q -P 3 64k 64k"])],
    },
    Recipe {
        name: "snapshots",
        options: "cluster_size=4k",
        size: 1 << 20,
        steps: &[MIXED, Snapshot("a"), Io(&["write -q -P 9 4k 70k"]), Snapshot("b"), Io(&["write -q -P 8 0 4k"])],
    },
    Recipe {
        name: "bitmaps",
        options: "cluster_size=4k",
        size: 64 << 20,
        steps: &[Bitmap("one"), Bitmap("two"), MIXED],
    },
    Recipe { name: "data file", options: "cluster_size=4k,data_file=data.raw", size: 1 << 20, steps: &[MIXED] },
    Recipe { name: "1 bit", options: "cluster_size=4k,refcount_bits=1", size: 1 << 20, steps: &[MIXED] },
    Recipe {
        name: "2 bits, snapshots",
        options: "cluster_size=4k,refcount_bits=2",
        size: 1 << 20,
        steps: &[MIXED, Snapshot("a"), Snapshot("b"), Io(&["write -q -P 8 0 4k"])],
    },
    Recipe { name: "4 bits", options: "cluster_size=512,refcount_bits=4", size: 256 << 10, steps: &[SMALL] },
    Recipe { name: "8 bits", options: "cluster_size=1k,refcount_bits=8", size: 256 << 10, steps: &[SMALL] },
    Recipe {
        name: "32 bits, snapshot",
        options: "cluster_size=4k,refcount_bits=32",
        size: 1 << 20,
        steps: &[MIXED, Snapshot("a"), Io(&["write -q -P 8 0 4k"])],
    },
    Recipe { name: "64 bits", options: "cluster_size=512,refcount_bits=64", size: 256 << 10, steps: &[SMALL] },
    Recipe {
        name: "dirty",
        options: "cluster_size=4k,lazy_refcounts=on",
        size: 1 << 20,
        steps: &[MIXED, Killed(&["write -q -P 5 300k 40k", "flush"])],
    },
];

const SMALL: Step = Io(&["write -q -P 1 0 20k", "write -q -z 8k 4k", "write -q -P 3 100k 10k", "discard -q 2k 2k"]);

/// Makes every image, in `lab`, which then has the files that they need beside them.
pub fn all(lab: &Lab) -> Vec<Base> {
    let backing: Vec<u8> = (0..1_u32 << 20).map(|at| (at / 512 % 251) as u8 + 1).collect();
    lab.put(BACKING, &backing);
    RECIPES.iter().map(|recipe| recipe.make(lab)).collect()
}

impl Recipe {
    fn make(&self, lab: &Lab) -> Base {
        const IMAGE: &str = "base.qcow2";
        match self.steps {
            [Backed, ..] => lab.create_over(IMAGE, self.options, (BACKING, "raw"), self.size),
            _ => lab.create(IMAGE, self.options, self.size),
        }
        for step in self.steps {
            match step {
                Io(commands) => {
                    let commands: Vec<_> = commands.iter().map(|command| (*command).to_owned()).collect();
                    lab.io(IMAGE, &commands);
                }
                Snapshot(name) => lab.snapshot(IMAGE, name),
                Bitmap(name) => {
                    lab.qemu_img(&["bitmap", "--add", IMAGE, name]);
                }
                Killed(commands) => lab.io_killed(IMAGE, commands),
                Backed => {}
            }
        }
        Base { name: self.name.to_owned(), bytes: lab.bytes(IMAGE) }
    }
}
