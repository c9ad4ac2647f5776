/** The size of a power-of-two number of clusters with which `span` bytes fit into `cells` cells. */
export function cellFor(span: number, clusterSize: number, cells: number): number {
  let cell = clusterSize
  while (cell * Math.max(1, cells) < span) cell *= 2
  return cell
}
