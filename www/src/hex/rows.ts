/** The height of a row of the hex view, in pixels; as in hex.css. */
export const ROW_HEIGHT = 22
