import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, it } from 'vitest'
import { complaints } from './helpers/compile.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { typedocOptions } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config
/** The entry points, and the names under which they are imported. */
const entries: [string, string][] = typedocOptions.entryPoints.map((path: string) => [join(root, path), nameOf(path)])

function nameOf(path: string): string {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const built = path.replace('src/js', './dist').replace('.ts', '.js')
  const [key] = Object.keys(exports).filter((each) => exports[each].default === built)
  return `qcow2-web${key?.slice(1)}`
}

interface Export {
  readonly name: string
  readonly module: string
  readonly isValue: boolean
  readonly hasExample: boolean
}

const exported: Export[] = (() => {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.json'), undefined, ts.sys as never)
  const program = ts.createProgram(config?.fileNames ?? [], config?.options ?? {})
  const checker = program.getTypeChecker()
  const original = (symbol: ts.Symbol) =>
    symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol
  return entries.flatMap(([path, module]) => {
    const source = program.getSourceFile(path)
    const symbol = source && checker.getSymbolAtLocation(source)
    return (symbol ? checker.getExportsOfModule(symbol) : []).map((each) => {
      const { flags, declarations = [] } = original(each)
      const tags = declarations.flatMap((declaration) => ts.getJSDocTags(declaration))
      const hasExample = tags.some(({ tagName }) => tagName.text === 'example')
      return { name: each.name, module, isValue: (flags & ts.SymbolFlags.Value) !== 0, hasExample }
    })
  })
})()

/** The examples in the sources, as programs that import what they use. */
const examples = readdirSync(join(root, 'src/js'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.includes('generated'))
  .flatMap((file) => {
    const text = readFileSync(join(root, 'src/js', file), 'utf8')
    return [...text.matchAll(/@example\n\s*\* ```ts\n([\s\S]*?)```/g)].map(({ 1: lines = '' }, index) => ({
      name: `${file.replaceAll(/[/\\]/g, '-').replace('.ts', '')}-${index}`,
      ...completed(lines.replaceAll(/^\s*\* ?/gm, '')),
    }))
  })

/** An example with the imports that it needs, and the names that it imports, itself or so. */
function completed(text: string): { readonly code: string; readonly names: readonly string[] } {
  const used = new Set<string>()
  const own = new Set<string>()
  const imported: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) {
      const { parent } = node
      const isProperty =
        (ts.isPropertyAccessExpression(parent) || ts.isPropertyAssignment(parent)) && parent.name === node
      const isDeclared =
        (ts.isVariableDeclaration(parent) || ts.isBindingElement(parent) || ts.isImportSpecifier(parent)) &&
        parent.name === node
      if (ts.isImportSpecifier(parent)) imported.push(node.text)
      if (isDeclared) own.add(node.text)
      else if (!isProperty) used.add(node.text)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('example.ts', text, ts.ScriptTarget.Latest, true))
  const names = [...used].filter((name) => !own.has(name))
  const imports = names.flatMap((name) => {
    const found = exported.find((each) => each.name === name)
    return found ? [`import { ${found.isValue ? '' : 'type '}${name} } from '${found.module}'`] : []
  })
  return { code: `${imports.join('\n')}\n${text}\nexport {}\n`, names: [...names, ...imported] }
}

it('every function, class and object that the package exports has an example', () => {
  expect(exported.length).toBeGreaterThan(200)
  expect(exported.filter(({ isValue, hasExample }) => isValue && !hasExample).map(({ name }) => name)).toEqual([])
})

const given = ['given.d.ts', 'api.d.ts'].map((name) => join(root, 'tests/js/documents', name))

it('every example in the sources compiles', () => {
  const programs = new Map(examples.map(({ name, code }) => [join(root, 'tests/js/documents', `${name}.ts`), code]))
  expect(programs.size).toBeGreaterThan(40)
  expect(complaints(root, programs, given)).toEqual([])
})

it('every example that needs nothing but Node runs', () => {
  const declared = given.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/declare \w+ (\w+)/g)].map(([, name = '']) => name),
  )
  // Browsers, a server, and addresses that are none here.
  const others = ['bestStorage', 'configure', 'fileHandle', 'http', 'idb', 'opfs', 'self']
  const complete = examples.filter(({ names }) => !names.some((name) => [...declared, ...others].includes(name)))
  expect(complete.length).toBeGreaterThan(10)

  const parent = join(root, 'target/documents')
  mkdirSync(parent, { recursive: true })
  const folder = mkdtempSync(join(parent, 'examples-'))
  try {
    for (const { name, code } of complete) {
      const { outputText } = ts.transpileModule(code, {
        compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
      })
      writeFileSync(join(folder, `${name}.mjs`), outputText)
    }
    const all = complete.map(({ name }) => `await import('./${name}.mjs')\n`)
    writeFileSync(join(folder, 'all.mjs'), all.join(''))
    execFileSync(process.execPath, ['all.mjs'], { cwd: folder, stdio: 'pipe' })
  } finally {
    rmSync(folder, { recursive: true })
  }
})
