/** What the sample's files say. */

export const README = `This is the sample disk of qcow2-web.

It holds a GUID partition table with four partitions:
  EFI    empty, as a new machine has it
  Home   an ext4 file system with a few files
  Notes  plain text, without a file system
  Swap   a swap area

It was compressed when it was made, and written to afterwards, so some of its
clusters are compressed, some are plain, and some are marked as zeros. Two
snapshots keep earlier states of it.
`

export const NOTES = `Things worth knowing about clusters
-----------------------------------
A cluster is the unit in which an image gives out space. The L1 table points to
L2 tables, and each entry of an L2 table says where one cluster is: nowhere,
in zeros, in the file as it is, or in the file compressed.

`

export const LIMERICK = `A disk that was sparse and was thin
Let only the written parts in;
  The zeros, it said,
  Are kept in my head,
And the rest is a table's next of kin.

`
