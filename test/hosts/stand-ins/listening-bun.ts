// Preloaded in each app on Bun: servers listen at a free port, whatever port the app names, and print it.
declare const Bun: { serve(options: object): { readonly port: number } };

const { serve } = Bun;
Bun.serve = (options) => {
  const server = serve({ ...options, port: 0 });
  console.log(`listening ${server.port}`);
  return server;
};
