// A real OpenID provider for the tests: node provider.mjs MODULES PORT CALLBACK SIGNED_OUT
const [modules, port, callback, signedOut] = process.argv.slice(2);
const {default: Provider} = await import(`file://${modules}/oidc-provider/lib/index.js`);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{
    client_id: "hub",
    client_secret: "provider-test-secret",
    redirect_uris: [callback],
    post_logout_redirect_uris: [signedOut],
    response_types: ["code"],
    grant_types: ["authorization_code"],
  }],
  pkce: {methods: ["S256"], required: () => true},
  cookies: {keys: ["for-tests-only"]},
  features: {devInteractions: {enabled: true}, rpInitiatedLogout: {enabled: true}},
  findAccount: (_context, id) => ({accountId: id, claims: () => ({sub: id})}),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
