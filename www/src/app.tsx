import { useEffect, useState } from 'preact/hooks'
import { LeaveDialog } from './edit/leave'
import { workerFailure } from './engine/client'
import { FileQuestionDialog } from './file-question'
import { MissingPassphraseDialog } from './missing-passphrase'
import { Problem } from './problem/problem'
import { RawViewer } from './raw-viewer'
import { Start } from './start/start'
import { enterFile } from './state/enter'
import { type Question, question, stage, toStart } from './state/stage'
import { Viewer } from './viewer'

export function App() {
  const now = stage.value
  const dragging = useDrop((file, handle) => void enterFile(file, handle))
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
        <Problem refused={now.refused} retry={now.retry} openRaw={now.openRaw} />
      ) : now.kind === 'raw' ? (
        <RawViewer key={now.visit} raw={now.raw} />
      ) : (
        <Start notice={now.notice} />
      )}
      {question.value && <QuestionDialog {...question.value} />}
      <LeaveDialog />
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

/** Files may be dropped anywhere; while a dialog asks for one, it is the answer. */
function useDrop(onFile: (file: File, handle?: Promise<FileSystemHandle | null>) => void): boolean {
  const [dragging, setDragging] = useState(false)
  useEffect(() => {
    const controller = new AbortController()
    const on = (type: 'dragover' | 'dragleave' | 'drop', handle: (event: DragEvent) => void) =>
      window.addEventListener(type, handle, { signal: controller.signal })
    on('dragover', (event) => {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      event.dataTransfer.dropEffect = 'copy'
      setDragging(true)
    })
    on('dragleave', (event) => {
      if (!event.relatedTarget) setDragging(false)
    })
    on('drop', (event) => {
      event.preventDefault()
      setDragging(false)
      const file = event.dataTransfer?.files[0]
      if (!file) return
      const asked = question.peek()
      if (asked && asked.missing.role !== 'passphrase') asked.answer({ kind: 'file', file })
      else if (!asked) onFile(file, handleOf(event.dataTransfer?.items[0]))
    })
    return () => controller.abort()
  }, [])
  return dragging
}

/** The handle by which a dropped file can be written, where the browser gives one. */
function handleOf(item: DataTransferItem | undefined): Promise<FileSystemHandle | null> | undefined {
  return (item as { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> } | undefined)?.getAsFileSystemHandle?.()
}
