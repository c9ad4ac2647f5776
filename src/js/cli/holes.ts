import { spawnSync } from 'node:child_process'
import { fstatSync, readSync } from 'node:fs'

/** A part of a file: stored, or a hole. */
export type Part = readonly [start: number, end: number, stored: boolean]

/** The grain of holes if the file system does not report them. */
const grain = 4096
const scanned = 1024 * 1024

/**
 * The stored parts of a file and its holes, in their order.
 *
 * Node cannot ask the file system for holes. Perl can, where there is one; otherwise blocks of zeros count as holes.
 */
export function* partsOf(file: number, path: string, from: number, to: number): Generator<Part> {
  const { blocks, size } = fstatSync(file)
  const end = Math.min(to, size)
  let run: { start: number; end: number; stored: boolean } | undefined
  const ranges =
    blocks * 512 >= size || blocks === 0
      ? [[from, end, blocks !== 0] as const]
      : (asked(path, from, end) ?? scan(file, from, end))
  for (const [start, stop, stored] of [...ranges, [Math.max(from, end), to, false] as const]) {
    if (stop <= start) continue
    if (run?.stored === stored) run.end = stop
    else {
      if (run) yield [run.start, run.end, run.stored]
      run = { start, end: stop, stored }
    }
  }
  if (run) yield [run.start, run.end, run.stored]
}

/** Prints where data and holes begin. */
const program = `
  open(my $file, '<', $ARGV[0]) or exit 1;
  my ($at, $end) = ($ARGV[1], $ARGV[2]);
  while ($at < $end) {
    my $data = sysseek($file, $at, 3);
    last unless defined $data;
    my $hole = sysseek($file, $data, 4);
    exit 1 unless defined $hole;
    print $data + 0, ' ', $hole + 0, "\n";
    $at = $hole;
  }
`

/** What the file system reports; `undefined` if it cannot be asked. */
function asked(path: string, from: number, to: number): Part[] | undefined {
  if (process.platform !== 'linux') return undefined
  const { status, stdout } = spawnSync('perl', ['-e', program, path, String(from), String(to)], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  })
  if (status !== 0) return undefined
  const parts: Part[] = []
  let at = from
  for (const line of stdout.split('\n').filter(Boolean)) {
    const [data = 0, hole = 0] = line.split(' ').map(Number)
    parts.push([at, Math.min(data, to), false], [data, Math.min(hole, to), true])
    at = hole
  }
  return [...parts, [at, to, false]]
}

function* scan(file: number, from: number, to: number): Generator<Part> {
  const buffer = Buffer.alloc(scanned)
  for (let at = from; at < to; ) {
    const count = readSync(file, buffer, 0, Math.min(scanned - (at % grain), to - at), at)
    if (count === 0) break
    for (let done = 0; done < count; ) {
      const end = Math.min(count, done + grain - ((at + done) % grain))
      yield [at + done, at + end, !isZero(buffer.subarray(done, end))]
      done = end
    }
    at += count
  }
}

const zeros = Buffer.alloc(scanned)

/** True if all bytes are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at < view.length; at += zeros.length) {
    const part = view.subarray(at, at + zeros.length)
    if (part.compare(zeros, 0, part.length) !== 0) return false
  }
  return true
}
