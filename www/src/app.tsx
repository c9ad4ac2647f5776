import { useEffect, useState } from 'preact/hooks'
import { LeaveDialog } from './edit/leave'
import { workerFailure } from './engine/client'
import { FileQuestionDialog } from './file-question'
import { HashDialog } from './hashes/dialog'
import { MissingPassphraseDialog } from './missing-passphrase'
import { Problem } from './problem/problem'
import { RawViewer } from './raw-viewer'
import { FoundDialog } from './start/found'
import { Start } from './start/start'
import { enterFiles, enterUrl } from './state/enter'
import { enterFolder, foundImages } from './state/folder'
import { hashChoices } from './state/hashes'
import { type Question, question, stage, toStart } from './state/stage'
import { Viewer } from './viewer'

export function App() {
  const now = stage.value
  const dragging = useDrop()
  usePaste()
  useEffect(() => {
    void workerFailure.then((message) => {
      toStart({ tone: 'bad', text: `The page's worker stopped: ${message} Reload the page to go on.` })
    })
  }, [])
  return (
    <>
      {now.kind === 'viewer' ? (
        <Viewer key={now.visit} image={now.image} />
      ) : now.kind === 'refused' ? (
        <Problem refused={now.refused} source={now.source} retry={now.retry} openRaw={now.openRaw} />
      ) : now.kind === 'raw' ? (
        <RawViewer key={now.visit} raw={now.raw} />
      ) : (
        <Start notice={now.notice} />
      )}
      {question.value && <QuestionDialog {...question.value} />}
      <LeaveDialog />
      {foundImages.value && <FoundDialog {...foundImages.value} />}
      {hashChoices.value && <HashDialog choices={hashChoices.value} />}
      {dragging && <div class="drop-target">Drop the image to open it</div>}
    </>
  )
}

/** Begins anew with each question. */
function QuestionDialog({ missing, answer }: Question) {
  const key = `${missing.role}${missing.depth}`
  return missing.role === 'passphrase' ? (
    <MissingPassphraseDialog key={`${key}${missing.wrong}`} missing={missing} answer={answer} />
  ) : (
    <FileQuestionDialog key={`${key}${missing.name}`} missing={missing} answer={answer} />
  )
}

/** Files and links may be dropped anywhere; while a dialog asks for a file, it is the answer. */
function useDrop(): boolean {
  const [dragging, setDragging] = useState(false)
  useEffect(() => {
    const controller = new AbortController()
    const on = (type: 'dragover' | 'dragleave' | 'drop', handle: (event: DragEvent) => void) =>
      window.addEventListener(type, handle, { signal: controller.signal })
    on('dragover', (event) => {
      if (isHandled(event)) return setDragging(false)
      const { types = [] } = event.dataTransfer ?? {}
      if (!event.dataTransfer || !(types.includes('Files') || types.includes('text/uri-list'))) return
      event.preventDefault()
      event.dataTransfer.dropEffect = 'copy'
      setDragging(true)
    })
    on('dragleave', (event) => {
      if (!event.relatedTarget) setDragging(false)
    })
    on('drop', (event) => {
      if (isHandled(event)) return
      event.preventDefault()
      setDragging(false)
      const files = [...(event.dataTransfer?.files ?? [])]
      const [file] = files
      const asked = question.peek()
      const folder = folderIn(event.dataTransfer)
      if (folder && !asked) {
        void enterFolder(folder)
        return
      }
      if (!file) {
        const address = addressOf(event.dataTransfer?.getData('text/uri-list'))
        if (address && !asked) void enterUrl(address)
      } else if (!asked) {
        const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file')
        void enterFiles(files, items.map(handleOf))
      } else if (asked.missing.role !== 'passphrase') asked.answer({ kind: 'file', file })
    })
    return () => controller.abort()
  }, [])
  return dragging
}

/** True over an element that handles dropped files itself. */
const isHandled = ({ target }: DragEvent): boolean =>
  target instanceof Element && target.closest('[data-drop]') !== null

/** The folder that is dropped, if it is one alone. */
function folderIn(transfer: DataTransfer | null): FileSystemDirectoryEntry | null {
  const [item, ...others] = [...(transfer?.items ?? [])].filter(({ kind }) => kind === 'file')
  const entry = others.length === 0 ? item?.webkitGetAsEntry() : null
  return entry?.isDirectory ? (entry as FileSystemDirectoryEntry) : null
}

/** A pasted address opens, as do pasted files; not while something is typed or asked. */
function usePaste(): void {
  useEffect(() => {
    const onPaste = (event: ClipboardEvent) => {
      const isTyping = event.target instanceof HTMLElement && event.target.closest('input, textarea, select')
      if (isTyping || question.peek() || document.querySelector('dialog[open]')) return
      const files = [...(event.clipboardData?.files ?? [])]
      const address = addressOf(event.clipboardData?.getData('text/plain'))
      if (files.length > 0) void enterFiles(files, [])
      else if (address) void enterUrl(address)
      else return
      event.preventDefault()
    }
    window.addEventListener('paste', onPaste)
    return () => window.removeEventListener('paste', onPaste)
  }, [])
}

/** The address that a text is, if it is one. */
function addressOf(text = ''): string | null {
  const [first = ''] = text.trim().split(/\r?\n/)
  return /^https?:\/\/\S+$/i.test(first) && URL.canParse(first) ? first : null
}

/** The handle by which a dropped file can be written, where the browser gives one. */
function handleOf(item: DataTransferItem | undefined): Promise<FileSystemHandle | null> | undefined {
  return (item as { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> } | undefined)?.getAsFileSystemHandle?.()
}
