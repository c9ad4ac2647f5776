import { join, relative } from 'node:path'
import ts from 'typescript'

/**
 * What the compiler says to programs that are not on the disk, with the options of the tests.
 *
 * @param root the folder of the project.
 * @param programs their paths and texts.
 * @param given files of declarations that they take as given.
 */
export function complaints(root: string, programs: ReadonlyMap<string, string>, given: readonly string[]): string[] {
  const config = ts.getParsedCommandLineOfConfigFile(join(root, 'tests/tsconfig.json'), undefined, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: ({ messageText }) => {
      throw new Error(ts.flattenDiagnosticMessageText(messageText, '\n'))
    },
  })
  const options = { ...config?.options, noUnusedLocals: false, noUnusedParameters: false }
  const host = ts.createCompilerHost(options)
  const { fileExists, readFile } = host
  host.fileExists = (path) => programs.has(path) || fileExists(path)
  host.readFile = (path) => programs.get(path) ?? readFile(path)
  const program = ts.createProgram([...given, ...programs.keys()], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n')
    if (!file || start === undefined) return message
    return `${relative(root, file.fileName)}:${file.getLineAndCharacterOfPosition(start).line + 1}: ${message}`
  })
}
