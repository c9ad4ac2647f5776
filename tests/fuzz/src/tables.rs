//! Mapping tables: a sound header, and L1 and L2 entries that the input makes up, in a file of any size.

use std::rc::Rc;

use qcow2_web::Image;

use crate::check::{check_location, check_map, check_read};
use crate::input::Input;
use crate::limits::within_memory;
use crate::model::Layer;
use crate::plan::Made;
use crate::storage::{Bytes, Counted};

const READS: usize = 8;
const MAX_READ: u64 = 256 << 10;
/// What is mapped at once: more than a slice of entries.
const MAPPED_CLUSTERS: u64 = 600;
const MEMORY: usize = 64 << 20;

type File = Rc<Counted<Rc<dyn Bytes>>>;

/// Makes an image of the input, and compares its map and its contents with the model.
pub fn tables(input: &[u8]) {
    let mut input = Input::new(input);
    let made = Made::of(&mut input);
    within_memory(MEMORY, || {
        let file = Rc::new(Counted::new(made.file.clone()));
        let image = made.open(file.clone(), |bytes| Rc::new(Counted::new(bytes)));
        explore(&image, &made.layers(), &file, input);
    });
}

fn explore(image: &Image<File>, layers: &[Layer], file: &File, mut input: Input<'_>) {
    let Layer::Qcow2(disk) = &layers[0] else { unreachable!("the first layer is the image") };
    let (size, cluster_size) = (disk.size, disk.cluster_size());
    assert_eq!(image.size(), size);
    let mapped = size.min(MAPPED_CLUSTERS * cluster_size);
    check_map(image, layers, 0, mapped);
    check_map(image, layers, size - mapped, mapped);
    if input.u8() == 0xff {
        check_map(image, layers, 0, size);
    }
    for _ in 0..READS {
        if size == 0 || input.is_empty() {
            break;
        }
        // Near the beginning of an L2 table's range, or anywhere.
        let offset = if input.flag() { input.u64() } else { input.u32() << 6 } % size;
        let length = (input.u16() * 4).min(MAX_READ).min(size - offset);
        let ((), cost) = file.count(|| check_read(image, layers, offset, length as usize));
        // For every 512 bytes: the walk of two slices, once more to see whether the run goes on, and the data.
        let pieces = length / 512 + 2;
        assert!(cost.requests <= 5 * pieces, "{cost:?} for {length} bytes");
        assert!(cost.bytes <= pieces * (2 * 4096 + (4 << 20)), "{cost:?} for {length} bytes");
        check_location(image, layers, offset);
        check_map(image, layers, offset, (size - offset).min(MAPPED_CLUSTERS * cluster_size));
    }
}
