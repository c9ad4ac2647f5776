/** "14 March 2026, 09:26:53", in the reader's own time zone. */
export function formatDate(seconds: number): string {
  return new Intl.DateTimeFormat('en-GB', { dateStyle: 'long', timeStyle: 'medium' }).format(new Date(seconds * 1000))
}

/** The same moment in UTC, for the hover text. */
export function isoDate(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z')
}

/** A virtual machine's clock as `qemu-img snapshot -l` shows it: hours, minutes, seconds, milliseconds. */
export function formatVmClock(nanoseconds: bigint): string {
  const milliseconds = nanoseconds / 1_000_000n
  const two = (value: bigint) => value.toString().padStart(2, '0')
  const seconds = milliseconds / 1000n
  const clock = `${two(seconds / 3600n)}:${two((seconds / 60n) % 60n)}:${two(seconds % 60n)}`
  return `${clock}.${(milliseconds % 1000n).toString().padStart(3, '0')}`
}
