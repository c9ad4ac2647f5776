/**
 * The files that an image names and the person gives, and the passphrases. Each is asked for once: opening starts again when a data file is
 * missing, and must not ask a second time for what it has.
 */

import {
  type BackingRequest,
  type BackingResolver,
  inspect,
  type PassphraseResolver,
  type Storage,
  sameBase,
} from 'qcow2-web'
import type { Ask, ChangedBase, MissingAnswer, MissingFile, OpenFile } from './protocol'
import { addressIn, baseName, nameIn, type Source, type SourceFile, sizeOf, sourceFile } from './source'
import { zeros } from './zeros'

type Given = SourceFile | 'without'

export class Supplies {
  cancelled = false
  private readonly backings = new Map<number, Given>()
  private readonly dataFiles = new Map<number, Given>()
  private readonly names = new Map<string, string>()
  private readonly passphrases = new Map<number, string>()
  /** Changed backing files that the person accepted. */
  private readonly accepted = new Set<Given>()
  /** The files whose passphrase was wrong. */
  private readonly refused = new Set<number>()

  constructor(
    /** The image itself. Another file replaces it when it was saved there. */
    public image: SourceFile,
    private readonly ask: Ask,
    /** Files that were given with the image. */
    private readonly beside: readonly File[] = [],
  ) {}

  /** Gives the backing file at `depth` without being asked. */
  async give(depth: number, file: Source): Promise<void> {
    this.backings.set(depth, await sourceFile(file))
  }

  /** Gives the passphrase of the file at `depth` without being asked. */
  givePassphrase(depth: number, passphrase: string): void {
    this.passphrases.set(depth, passphrase)
  }

  /** The image needs its backing files no longer. */
  forgetBackings(): void {
    this.backings.clear()
    for (const given of [this.dataFiles, this.passphrases]) {
      for (const depth of given.keys()) if (depth > 0) given.delete(depth)
    }
  }

  /** Called by the engine for each file that is encrypted. */
  readonly passphrase: PassphraseResolver = async ({ depth }) => {
    const known = this.passphrases.get(depth)
    if (known !== undefined) return known
    const given = depth === 0 ? this.image : this.backings.get(depth)
    const found = given && given !== 'without' && (await inspect(given.storage))
    const encryption = found ? found.encryption : undefined
    const wrong = this.refused.has(depth)
    const answer = await this.ask({ role: 'passphrase', depth, wantedBy: this.nameAt(depth), encryption, wrong })
    if (answer.kind !== 'passphrase') {
      this.cancelled = true
      return null
    }
    this.passphrases.set(depth, answer.passphrase)
    return answer.passphrase
  }

  /** The passphrase of the file at `depth` is wrong: it is asked for again. */
  refusePassphrase(depth: number): void {
    this.passphrases.delete(depth)
    this.refused.add(depth)
  }

  /** Called by the engine for each file of the backing chain. */
  readonly backing: BackingResolver = async ({ name, format, depth }: BackingRequest) => {
    const wanted: MissingFile = {
      role: 'backing',
      name,
      format: format ?? null,
      depth,
      wantedBy: this.nameAt(depth - 1),
      address: addressIn(name) ?? this.addressBeside(depth - 1, name),
    }
    const given = await this.unchanged(name, depth, this.backings.get(depth) ?? (await this.request(wanted)))
    if (!given) throw new Error('Opening was cancelled.')
    this.backings.set(depth, given)
    if (given === 'without') return null
    const dataFile = this.dataFile(depth)
    return dataFile ? { storage: given.storage, dataFile } : given.storage
  }

  /** Where a relative name leads, seen from the address of the file at `depth`. */
  private addressBeside(depth: number, name: string): string | null {
    const file = depth === 0 ? this.image : this.backings.get(depth)
    if (!file || file === 'without' || !('url' in file.source) || !/^[^/\\:][^\\:]*$/.test(nameIn(name))) return null
    const path = nameIn(name).split('/').map(encodeURIComponent).join('/')
    return new URL(path, file.source.url).href
  }

  /** What was given, or is given instead, once it is the recorded file or the person accepts it. */
  private async unchanged(recorded: string, depth: number, first: Given | null): Promise<Given | null> {
    let given = first
    while (given && given !== 'without' && !this.accepted.has(given)) {
      const difference = await this.difference(recorded, depth, given)
      if (difference === null) break
      const { name } = given
      const wantedBy = this.nameAt(depth - 1)
      const answer = await this.ask({ role: 'changed', name, difference, recorded, depth, wantedBy })
      if (answer.kind === 'accept') this.accepted.add(given)
      else given = await this.answered(answer)
    }
    return given
  }

  /** In what a file differs from the recorded one; `null` if it may be that. */
  private async difference(
    recorded: string,
    depth: number,
    given: SourceFile,
  ): Promise<ChangedBase['difference'] | null> {
    if (!(await sameBase(recorded, given.storage))) return 'content'
    // The content is known already where its state is recorded.
    if (recorded !== nameIn(recorded)) return null
    const name = recorded.split(/[\\/]/).pop() ?? ''
    // A description of several files has no name of its own, unless it was read from an address.
    const isNamed = name !== '' && !recorded.startsWith('json:') && !('url' in given.source)
    if (isNamed && name.toLowerCase() !== given.name.toLowerCase()) return 'name'
    const above = depth === 1 ? this.image : this.backings.get(depth - 1)
    if (!above || above === 'without') return null
    const [upper, lower] = await Promise.all([inspect(above.storage), inspect(given.storage)])
    const isLarger = upper.header && lower.header && lower.format === 'qcow2' && lower.header.size > upper.header.size
    return isLarger ? 'size' : null
  }

  /** The data file of the image (depth 0) or of a backing file, if it has been asked for. */
  dataFile(depth: number): Storage | undefined {
    const given = this.dataFiles.get(depth)
    if (!given) return undefined
    return given === 'without' ? zeros() : given.storage
  }

  /** Asks for the data file of the file at `depth`; false when it was asked for already, or not given. */
  async askForData(depth: number, name: string): Promise<boolean> {
    if (this.dataFiles.has(depth)) return false
    const [wantedBy, address] = [this.nameAt(depth), this.addressBeside(depth, name)]
    const given = await this.request({ role: 'data', name, format: null, depth, wantedBy, address })
    if (!given) return false
    this.dataFiles.set(depth, given)
    return true
  }

  /** Every file in hand, the image first. */
  files(): Promise<OpenFile[]> {
    const described = this.held().map(async ({ file, ...held }) => ({
      ...held,
      name: file.name,
      size: await sizeOf(file),
      hasDataFile: held.role !== 'data' && this.dataFiles.has(held.depth),
    }))
    return Promise.all(described)
  }

  file(key: string): SourceFile | undefined {
    return this.held().find((held) => held.key === key)?.file
  }

  /** The names of what the image was opened without. */
  without(): string[] {
    const missing = (given: Map<number, Given>, role: string) =>
      [...given].filter(([, answer]) => answer === 'without').map(([depth]) => this.names.get(`${role} ${depth}`) ?? '')
    return [...missing(this.backings, 'backing'), ...missing(this.dataFiles, 'data')]
  }

  private held(): (Pick<OpenFile, 'key' | 'role' | 'depth'> & { file: SourceFile })[] {
    const files: ReturnType<Supplies['held']> = [{ key: 'image', role: 'image', depth: 0, file: this.image }]
    for (const [depth, file] of this.backings) {
      if (file !== 'without') files.push({ key: `backing-${depth}`, role: 'backing', depth, file })
    }
    for (const [depth, file] of this.dataFiles) {
      const owner = depth === 0 ? 'image' : `backing-${depth}`
      if (file !== 'without') files.push({ key: `${owner}-data`, role: 'data', depth, file })
    }
    return files.sort((a, b) => a.depth - b.depth)
  }

  private nameAt(depth: number): string {
    const given = depth === 0 ? this.image : this.backings.get(depth)
    return given && given !== 'without' ? given.name : ''
  }

  private async request(missing: MissingFile): Promise<Given | null> {
    this.names.set(`${missing.role} ${missing.depth}`, missing.name)
    const given = this.beside.find((file) => file.name.toLowerCase() === baseName(missing.name))
    return given ? sourceFile(given) : this.answered(await this.ask(missing))
  }

  private async answered(answer: MissingAnswer): Promise<Given | null> {
    if (answer.kind === 'file') return sourceFile(answer.file)
    if (answer.kind === 'without') return 'without'
    this.cancelled = true
    return null
  }
}
