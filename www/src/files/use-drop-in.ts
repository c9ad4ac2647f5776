import { useState } from 'preact/hooks'

export interface DropIn {
  /** True while files are dragged over the list. */
  isOver: boolean
  onDragOver(event: DragEvent): void
  onDragLeave(event: DragEvent): void
  onDrop(event: DragEvent): void
}

/** Lets files be dropped into the list of a directory. `onFiles` gets them, with the names of folders among them. */
export function useDropIn(onFiles: (files: File[], folders: string[]) => void): DropIn {
  const [isOver, setOver] = useState(false)
  return {
    isOver,
    onDragOver(event) {
      if (!event.dataTransfer?.types.includes('Files')) return
      event.preventDefault()
      event.dataTransfer.dropEffect = 'copy'
      setOver(true)
    },
    onDragLeave({ currentTarget, relatedTarget }) {
      const isInside =
        currentTarget instanceof Node && relatedTarget instanceof Node && currentTarget.contains(relatedTarget)
      if (!isInside) setOver(false)
    },
    onDrop(event) {
      setOver(false)
      if (!event.dataTransfer) return
      event.preventDefault()
      const entries = [...event.dataTransfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
      const folders = entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => name)
      onFiles([...event.dataTransfer.files], folders)
    },
  }
}
