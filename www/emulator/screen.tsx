import type { RefObject } from 'preact'

/** The machine's screen: v86 writes into the first child while it shows text, and draws on the second. */
export function Screen({ container }: { container: RefObject<HTMLDivElement | null> }) {
  return (
    <section class="screen" aria-label="Screen">
      <div ref={container}>
        <div class="text" />
        <canvas hidden />
      </div>
    </section>
  )
}
