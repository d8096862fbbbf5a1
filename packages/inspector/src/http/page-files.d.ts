/** The page, which the build bundles from the folder `page`. */
declare module "virtual:page" {
  export const SCRIPT: string;
  export const STYLE: string;
}
