//! LVM2 volumes: linear and striped.
//!
//! Each physical volume has a copy of the group's metadata, as text. A logical volume is a list of segments. A segment
//! lies on one physical volume, or is striped over several.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Found, Scan};
use crate::probe::{At, Type, recognise};
use crate::source::{Device, ReadFailed};

/// More text than this is not metadata.
const LONGEST_TEXT: u64 = 16 << 20;
/// Nesting in the text; real metadata has four levels.
const DEEPEST: usize = 16;
/// The deepest nesting of devices, such as a physical volume on a logical one.
const MOST_VOLUMES: usize = 4096;

/// Formats the 32 letters of an identifier as LVM shows it.
pub(crate) fn id(letters: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(letters).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let ends = [6, 10, 14, 18, 22, 26, 32];
    let starts = [0].into_iter().chain(ends);
    let parts: Option<Vec<_>> = starts.zip(ends).map(|(from, to)| text.get(from..to)).collect();
    Some(parts?.join("-"))
}

/// Adds the logical volumes of all groups whose physical volumes were found. Replaces those that were added before.
pub(super) fn add_volumes(scan: &mut Scan) {
    scan.volumes.retain(|found| !found.is_logical);
    let mut devices = HashMap::new();
    let mut groups: Vec<(u64, String, Section)> = Vec::new();
    for found in &scan.volumes {
        if found.recognised.as_ref().is_none_or(|recognised| recognised.kind != Type::Lvm) {
            continue;
        }
        let Some((pv, text)) = physical_volume(&*found.device) else {
            let problem = format!("{}: the metadata of LVM2 cannot be read", found.id);
            if !scan.problems.contains(&problem) {
                scan.problems.push(problem);
            }
            continue;
        };
        devices.insert(pv, found.device.clone());
        for (name, value) in text.entries {
            let Value::Section(group) = value else { continue };
            let sequence = group.number("seqno").unwrap_or(0);
            match groups.iter_mut().find(|(_, held, _)| *held == name) {
                // The copies may differ after a crash: the newest one is used.
                Some(held) if held.0 < sequence => *held = (sequence, name, group),
                Some(_) => {}
                None => groups.push((sequence, name, group)),
            }
        }
    }
    for (_, name, group) in groups {
        for found in volumes(&name, &group, &devices) {
            if scan.volumes.len() < MOST_VOLUMES {
                scan.volumes.push(found);
            }
        }
    }
}

fn volumes(group_name: &str, group: &Section, devices: &HashMap<String, Rc<dyn Device>>) -> Vec<Found> {
    const SECTOR: u64 = 512;
    let mut physical_volumes = PhysicalVolumes::new();
    for (name, physical) in group.section("physical_volumes").into_iter().flat_map(Section::sections) {
        let start = physical.number("pe_start").unwrap_or(0).saturating_mul(SECTOR);
        let device = physical.text("id").and_then(|id| devices.get(&id.replace('-', "")));
        physical_volumes.insert(name, (device.cloned(), start));
    }
    let extent = group.number("extent_size").unwrap_or(0).saturating_mul(SECTOR);
    let mut found = Vec::new();
    for (name, logical) in group.section("logical_volumes").into_iter().flat_map(Section::sections) {
        if !logical.list("status").any(|flag| flag == "VISIBLE") {
            continue;
        }
        let (device, problem) = match logical_volume(logical, extent, &physical_volumes) {
            Ok(device) => (device, None),
            Err((size, problem)) => (Mapped { size, segments: Vec::new() }, Some(problem)),
        };
        let device: Rc<dyn Device> = Rc::new(device);
        let recognised = if problem.is_none() { recognise(&*device) } else { None };
        found.push(Found {
            id: format!("{group_name}/{name}"),
            partition: None,
            offset: None,
            device,
            recognised,
            problem,
            is_logical: true,
        });
    }
    found
}

/// The physical volumes by name: the device, unless it is missing, and the offset of its extents.
type PhysicalVolumes<'a> = HashMap<&'a str, (Option<Rc<dyn Device>>, u64)>;

/// Maps a logical volume. Fails with its size and the reason if it cannot be read.
fn logical_volume(
    logical: &Section,
    extent: u64,
    physical_volumes: &PhysicalVolumes<'_>,
) -> Result<Mapped, (u64, String)> {
    const SECTOR: u64 = 512;
    let segments: Vec<&Section> = logical
        .sections()
        .filter(|(name, _)| name.strip_prefix("segment").is_some_and(|number| number.parse::<u32>().is_ok()))
        .map(|(_, segment)| segment)
        .collect();
    let length = |segment: &Section| segment.number("extent_count").unwrap_or(0).saturating_mul(extent);
    let size = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(length(segment)));
    let mut mapped = Vec::new();
    for segment in segments {
        let kind = segment.text("type").unwrap_or("unknown");
        if kind != "striped" && kind != "linear" {
            return Err((size, format!("volumes of type {kind} are not supported")));
        }
        let items: Vec<&Value> = segment.items("stripes").collect();
        let mut stripes = Vec::new();
        for pair in items.chunks_exact(2) {
            let [Value::Text(name), Value::Number(at)] = pair else {
                return Err((size, "its metadata is damaged".into()));
            };
            let (device, start) = physical_volumes.get(&**name).ok_or((size, "its metadata is damaged".to_owned()))?;
            let device = device.clone().ok_or((size, format!("the physical volume {name} is on another disk")))?;
            stripes.push((device, start.saturating_add(at.saturating_mul(extent))));
        }
        let stripe = segment.number("stripe_size").unwrap_or(0).saturating_mul(SECTOR);
        if stripes.is_empty() || stripes.len() > 1 && stripe == 0 {
            return Err((size, "its metadata is damaged".into()));
        }
        let start = segment.number("start_extent").unwrap_or(0).saturating_mul(extent);
        mapped.push(Segment { start, length: length(segment), stripes, stripe });
    }
    mapped.sort_by_key(|segment| segment.start);
    Ok(Mapped { size, segments: mapped })
}

/// A logical volume.
struct Mapped {
    size: u64,
    /// Sorted by start.
    segments: Vec<Segment>,
}

struct Segment {
    start: u64,
    length: u64,
    /// The devices over which the segment is striped, and its offset on each.
    stripes: Vec<Place>,
    /// The stripe size in bytes. Not used with one device.
    stripe: u64,
}

type Place = (Rc<dyn Device>, u64);

impl Device for Mapped {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadFailed> {
        let mut at = offset;
        let mut left = into;
        while !left.is_empty() {
            let next = self.segments.partition_point(|segment| segment.start <= at);
            let segment = next.checked_sub(1).and_then(|index| self.segments.get(index)).ok_or(ReadFailed)?;
            let within = at - segment.start;
            let (number, place, room) = if let [_] = &segment.stripes[..] {
                (0, within, segment.length.saturating_sub(within))
            } else {
                let count = segment.stripes.len() as u64;
                let (chunk, rest) = (within / segment.stripe, within % segment.stripe);
                let room = (segment.stripe - rest).min(segment.length.saturating_sub(within));
                (chunk % count, chunk / count * segment.stripe + rest, room)
            };
            if room == 0 {
                return Err(ReadFailed);
            }
            let count = left.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            let (now, rest) = left.split_at_mut(count);
            let number = usize::try_from(number).map_err(|_| ReadFailed)?;
            let (device, start) = segment.stripes.get(number).ok_or(ReadFailed)?;
            device.read_at(start.checked_add(place).ok_or(ReadFailed)?, now)?;
            left = rest;
            at += count as u64;
        }
        Ok(())
    }
}

/// Reads the identifier of a physical volume, without hyphens, and the newest text of its group.
fn physical_volume(device: &dyn Device) -> Option<(String, Section)> {
    let at = At(device);
    let label = (0..4).map(|sector| sector * 512).find(|offset| at.is(*offset, b"LABELONE"))?;
    let header = label + u64::from(at.u32(label + 20)?);
    let id = String::from_utf8(at.bytes::<32>(header)?.to_vec()).ok()?;
    // Two lists of areas, each ended by zeros: data, then metadata.
    let mut entry = header + 40;
    let mut lists = [Vec::new(), Vec::new()];
    for list in &mut lists {
        while list.len() < 16 {
            let (offset, size) = (at.u64(entry)?, at.u64(entry + 8)?);
            entry += 16;
            if offset == 0 {
                break;
            }
            list.push((offset, size));
        }
    }
    let [_, areas] = lists;
    // A physical volume may have no copy of the metadata: then another one has it.
    let text = areas.into_iter().find_map(|(offset, size)| text(&at, offset, size)).unwrap_or_default();
    Some((id, parse(&text)?))
}

/// Reads the text in a metadata area, which is a ring buffer after a header of one sector.
fn text(at: &At<'_>, area: u64, size: u64) -> Option<String> {
    const HEADER: u64 = 512;
    const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
    if !at.is(area + 4, MAGIC) {
        return None;
    }
    let (offset, length) = (at.u64(area + 40)?, at.u64(area + 48)?);
    if offset < HEADER || offset >= size || length > (size - HEADER).min(LONGEST_TEXT) {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    let first = usize::try_from(length.min(size - offset)).ok()?;
    at.0.read_at(area + offset, &mut bytes[..first]).ok()?;
    at.0.read_at(area + HEADER, &mut bytes[first..]).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Default)]
struct Section {
    entries: Vec<(String, Value)>,
}

enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

impl Section {
    fn get(&self, name: &str) -> Option<&Value> {
        self.entries.iter().find(|(held, _)| held == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        if let Some(Value::Number(number)) = self.get(name) { Some(*number) } else { None }
    }

    fn text(&self, name: &str) -> Option<&str> {
        if let Some(Value::Text(text)) = self.get(name) { Some(text) } else { None }
    }

    fn section(&self, name: &str) -> Option<&Self> {
        if let Some(Value::Section(section)) = self.get(name) { Some(section) } else { None }
    }

    fn sections(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.entries.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }

    fn items(&self, name: &str) -> impl Iterator<Item = &Value> {
        let items = if let Some(Value::List(items)) = self.get(name) { &items[..] } else { &[] };
        items.iter()
    }

    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.items(name).filter_map(|item| if let Value::Text(text) = item { Some(text.as_str()) } else { None })
    }
}

/// Parses the text: `name = value` and `name { … }`, with comments from `#` to the line's end.
fn parse(text: &str) -> Option<Section> {
    let mut tokens = Tokens { text: text.trim_end_matches('\0') };
    section(&mut tokens, 0)
}

fn section(tokens: &mut Tokens<'_>, depth: usize) -> Option<Section> {
    if depth > DEEPEST {
        return None;
    }
    let mut section_ = Section::default();
    loop {
        match tokens.next() {
            None | Some(Token::Mark('}')) => return Some(section_),
            Some(Token::Word(name)) => {
                let value = match tokens.next()? {
                    Token::Mark('{') => Value::Section(section(tokens, depth + 1)?),
                    Token::Mark('=') => value(tokens)?,
                    _ => return None,
                };
                section_.entries.push((name.to_owned(), value));
            }
            Some(_) => return None,
        }
    }
}

fn value(tokens: &mut Tokens<'_>) -> Option<Value> {
    match tokens.next()? {
        Token::Text(text) => Some(Value::Text(text)),
        // Other numbers, such as fractions, are kept as text.
        Token::Word(word) => Some(word.parse().map_or_else(|_| Value::Text(word.to_owned()), Value::Number)),
        Token::Mark('[') => {
            let mut items = Vec::new();
            loop {
                match tokens.next()? {
                    Token::Mark(']') => return Some(Value::List(items)),
                    Token::Mark(',') => {}
                    Token::Text(text) => items.push(Value::Text(text)),
                    Token::Word(word) => {
                        items.push(word.parse().map_or_else(|_| Value::Text(word.to_owned()), Value::Number));
                    }
                    Token::Mark(_) => return None,
                }
            }
        }
        Token::Mark(_) => None,
    }
}

enum Token<'a> {
    Mark(char),
    Word(&'a str),
    Text(String),
}

struct Tokens<'a> {
    text: &'a str,
}

impl<'a> Tokens<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            self.text = self.text.trim_start();
            let Some(comment) = self.text.strip_prefix('#') else { break };
            self.text = comment.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let first = self.text.chars().next()?;
        if matches!(first, '{' | '}' | '[' | ']' | ',' | '=') {
            self.text = &self.text[1..];
            return Some(Token::Mark(first));
        }
        if let Some(rest) = self.text.strip_prefix('"') {
            let mut text = String::new();
            let mut chars = rest.char_indices();
            while let Some((at, c)) = chars.next() {
                match c {
                    '"' => {
                        self.text = &rest[at + 1..];
                        return Some(Token::Text(text));
                    }
                    '\\' => text.push(chars.next()?.1),
                    _ => text.push(c),
                }
            }
            return None;
        }
        let end = self
            .text
            .find(|c: char| c.is_whitespace() || matches!(c, '{' | '}' | '[' | ']' | ',' | '=' | '"' | '#'))
            .unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        (!word.is_empty()).then_some(Token::Word(word))
    }
}
