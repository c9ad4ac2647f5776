import { join, relative } from 'node:path'
import ts from 'typescript'

/** A name of the platform that the sources use: `AbortSignal` and `reason`, or a global alone. */
export interface Use {
  /** The names of the interfaces that may have it: that of the value, then the one that declares it. */
  readonly owners: readonly string[]
  readonly member: string | undefined
  /** The file, below the folder of the sources. */
  readonly file: string
}

/** Everything of the platform and of the language's library that the sources of a project use, as the compiler sees it. */
export function platformUses(root: string): Use[] {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.json'), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
      throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'))
    },
  })
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {})
  const folder = join(root, 'src/js')
  return program
    .getSourceFiles()
    .filter(({ fileName, isDeclarationFile }) => !isDeclarationFile && !relative(folder, fileName).startsWith('..'))
    .flatMap((source) => usesIn(program, source, relative(folder, source.fileName)))
}

function usesIn(program: ts.Program, source: ts.SourceFile, file: string): Use[] {
  const checker = program.getTypeChecker()
  const uses: Use[] = []
  const visit = (node: ts.Node): void => {
    if (isTypeAlone(node)) return
    if (ts.isIdentifier(node)) {
      const use = useOf(node)
      if (use) uses.push({ ...use, file })
    }
    ts.forEachChild(node, visit)
  }

  const useOf = (node: ts.Identifier): Omit<Use, 'file'> | undefined => {
    const receiver = receiverOf(node)
    const symbol = symbolOf(node, receiver)
    const declaration = symbol?.declarations?.[0]
    if (!declaration || !program.isSourceFileDefaultLibrary(declaration.getSourceFile())) return undefined
    if (ts.isVariableDeclaration(declaration) || ts.isFunctionDeclaration(declaration)) {
      if (!ts.isModuleBlock(declaration.parent)) return { owners: [node.text], member: undefined }
    }
    const { parent } = declaration
    const declaring = ts.isInterfaceDeclaration(parent) ? [parent.name.text] : []
    const namespace = ts.isModuleBlock(declaration.parent) ? [declaration.parent.parent.name.text] : []
    const inNamespace = ts.isVariableDeclaration(declaration) ? namespaceOf(declaration) : namespace
    const own = receiver ? [...namesOf(checker.getApparentType(receiver)), ...globalIn(node)] : []
    const owners = [...own, ...declaring, ...inNamespace].map((name) => name.replace(/Constructor$/, ''))
    // What has no value in the language is the type of an object that the sources themselves make, or are given.
    const isThere = owners.some((name) => isValue(name) || standsFor[name])
    return isThere ? { owners: owners.map((name) => standsFor[name] ?? name), member: node.text } : undefined
  }

  const symbolOf = (node: ts.Identifier, receiver: ts.Type | undefined): ts.Symbol | undefined => {
    if (ts.isShorthandPropertyAssignment(node.parent)) return checker.getShorthandAssignmentValueSymbol(node.parent)
    if (ts.isBindingElement(node.parent)) return receiver?.getProperty(node.text)
    return checker.getSymbolAtLocation(node)
  }

  /** The type of the value whose property the name is: after a dot, or in a pattern that takes values apart. */
  const receiverOf = (node: ts.Identifier): ts.Type | undefined => {
    const { parent } = node
    if (ts.isPropertyAccessExpression(parent) && parent.name === node)
      return checker.getTypeAtLocation(parent.expression)
    if (!ts.isBindingElement(parent) || !ts.isObjectBindingPattern(parent.parent)) return undefined
    return (parent.propertyName ?? parent.name) === node ? checker.getTypeAtLocation(parent.parent) : undefined
  }

  const isValue = (name: string) => checker.resolveName(name, undefined, ts.SymbolFlags.Value, false) !== undefined
  visit(source)
  return uses
}

function isTypeAlone(node: ts.Node): boolean {
  return (
    ts.isTypeNode(node) ||
    ts.isImportDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isTypeAliasDeclaration(node)
  )
}

function namesOf(type: ts.Type): string[] {
  if (type.isUnionOrIntersection()) return type.types.flatMap(namesOf)
  const name = type.getSymbol()?.name
  return name && !name.startsWith('__') ? [name] : []
}

/** `Array` of `Array.from`. */
function globalIn({ parent }: ts.Identifier): string[] {
  return ts.isPropertyAccessExpression(parent) && ts.isIdentifier(parent.expression) ? [parent.expression.text] : []
}

function namespaceOf(declaration: ts.VariableDeclaration): string[] {
  const block = declaration.parent.parent.parent
  return ts.isModuleBlock(block) ? [block.parent.name.text] : []
}

/** The types of the compiler alone, and what they are types of. */
const standsFor: Record<string, string> = {
  ArrayBufferView: 'DataView',
  CallableFunction: 'Function',
  ReadonlyArray: 'Array',
  ReadonlyMap: 'Map',
  ReadonlySet: 'Set',
}
