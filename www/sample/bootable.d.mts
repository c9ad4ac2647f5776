export declare const countOffset: number
export declare function bootSector(): Buffer
