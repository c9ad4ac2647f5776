//! Writing: requests that the input makes up, to an image that is sound, to one that was damaged in between, or to one
//! that is the input itself.
//!
//! A sound image does what a plain disk does, and stays sound. On any other, requests may fail, with an error that has a
//! name; after a write that failed the image is used on, and nothing is asked of the storage after a barrier that failed.

mod new_image;
mod plain;
mod request;

use std::rc::Rc;

use qcow2_web::{Error, Image, OpenOptions, WithoutBacking, inspect};

use self::new_image::NewImage;
use self::plain::Plain;
use self::request::Request;
use crate::checker::check;
use crate::input::Input;
use crate::limits::{ready, within_memory};
use crate::storage::{Full, Limited};

type File = Rc<Limited>;
type Failed = Error<Full>;

const DATA_FILE: u64 = 1 << 2;
const REQUESTS: usize = 48;
const CACHES: [usize; 4] = [0, 2 << 10, 16 << 10, 4 << 20];
/// How much a file may grow; more than [`REQUESTS`] to a new image take.
const ROOM: usize = 16 << 20;
/// Tables of the counts and of the mapping as large as a header may say, and what a request holds.
const MEMORY: usize = 160 << 20;
const EXPANSION: usize = 48;

/// Writes to an image.
pub fn write(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    within_memory(MEMORY + EXPANSION * input.len(), || {
        if first & 1 != 0 { to_given(rest) } else { to_new(Input::new(rest)) }
    });
}

/// The image is the end of the input.
fn to_given(input: &[u8]) {
    let Some((requests, file)) = input.split_at_checked(256) else { return };
    let file = Rc::new(Limited::new(file.to_vec(), ROOM));
    let Ok(inspection) = ready(inspect(&*file)) else { unreachable!("reads don't fail") };
    let Some(header) = inspection.header.filter(|_| inspection.problems.is_empty()) else { return };
    let mut input = Input::new(requests);
    let data_file = (header.incompatible_features & DATA_FILE != 0).then(|| Rc::new(Limited::new(Vec::new(), ROOM)));
    let open = |input: &mut Input<'_>| {
        let options = options(input, data_file.clone()).backing(WithoutBacking);
        ready(Image::open_writable(file.clone(), options))
    };
    to_any(&mut input, 1 << header.cluster_bits, open);
}

fn to_new(mut input: Input<'_>) {
    let new = NewImage::of(&mut input);
    let mut image = new.open(&mut input).expect("a new image opens");
    let mut plain = Plain::new(new.contents());
    for _ in 0..REQUESTS {
        if input.is_empty() {
            break;
        }
        let request = Request::of(&mut input, image.size(), new.cluster_size);
        match request.run(&image) {
            Ok(found) => plain.follow(&request, &found, &image),
            Err(error) => assert!(request.may_be_refused(&error), "{request:?} fails: {error}"),
        }
        if let Request::Reopen = request {
            if input.u8() == 0xff {
                new.file.set_word(input.u16() << 3, input.u64());
                return to_any(&mut input, new.cluster_size, |input| new.open(input));
            }
            image = new.open(&mut input).unwrap_or_else(|error| panic!("it doesn't open again: {error}"));
        }
    }
    ready(image.close()).expect("a sound image can be closed");
    let findings = new.file.with(check);
    assert_eq!(findings.exit_code(), 0, "{findings}");
    plain.check(&new.open(&mut input).expect("a sound image opens"));
}

/// An image of which nothing is known, which `open` opens.
fn to_any(input: &mut Input<'_>, cluster_size: u64, open: impl Fn(&mut Input<'_>) -> Result<Image<File>, Failed>) {
    let mut opened = open(input);
    for _ in 0..REQUESTS {
        let image = match &opened {
            Ok(image) if !input.is_empty() && image.size() > 0 => image,
            Ok(_) => return,
            Err(error) => return check_error(error),
        };
        let request = Request::of(input, image.size(), cluster_size);
        if let Err(error) = request.run(image) {
            check_error(&error);
        }
        if let Request::Reopen = request {
            opened = open(input);
        }
    }
}

fn options(input: &mut Input<'_>, data_file: Option<File>) -> OpenOptions<File> {
    let cache = CACHES[usize::from(input.u8()) % CACHES.len()];
    let options = OpenOptions::new().table_cache(cache).write_through(input.u8() == 0xff);
    match data_file {
        Some(file) => options.data_file(file),
        None => options,
    }
}

fn check_error(error: &Failed) {
    assert!(!error.code().is_empty() && !error.to_string().is_empty());
}
