/**
 * Any text as one word of a shell command, whatever it contains: a file's name may come from anywhere, and the command is
 * there to be copied.
 */
export function shellWord(text: string): string {
  return /^[\w.@%+=:,/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A file's name as an argument that is neither an option nor, to qemu-img, the name of a protocol. */
export function fileArgument(name: string): string {
  return shellWord(/^-|:/.test(name) ? `./${name}` : name)
}
