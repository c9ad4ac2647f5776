/** Gives a file to the browser's downloads. */
export function offer(file: File): void {
  const url = URL.createObjectURL(file)
  Object.assign(document.createElement('a'), { href: url, download: file.name }).click()
  // The download keeps the bytes alive as soon as it has begun.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
