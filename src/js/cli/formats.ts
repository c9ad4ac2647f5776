/** The formats of images that QEMU knows; this command works with the first two. */
export const formats: readonly string[] = [
  'qcow2',
  'raw',
  'vmdk',
  'vdi',
  'vhdx',
  'vpc',
  'qed',
  'qcow',
  'parallels',
  'luks',
  'dmg',
  'bochs',
  'cloop',
  'file',
]
