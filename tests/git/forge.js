// Git's smart HTTP in TLS: a real `git http-backend` behind Basic authentication (alice, s3cr3t). What lies below /public is
// anybody's. Each request is a line of `log`, its fields one of `fields`, and which connection it came by one of `connections`. `mode` changes what is answered.
const http2 = require('http2'), https = require('https'), fs = require('fs'), { spawn } = require('child_process');
const [, , kind, root] = process.argv;
const options = { allowHTTP1: true, cert: fs.readFileSync('cert.pem'), key: fs.readFileSync('key.pem') };
const server = kind === 'h1' ? https.createServer(options) : http2.createSecureServer(options);
const basic = password => 'Basic ' + Buffer.from('alice:' + password).toString('base64');
const mode = () => { try { return fs.readFileSync('mode', 'utf8'); } catch { return ''; } };
let count = 0;
server.on('request', (q, r) => {
  const [path, query = ''] = q.url.split('?'), sent = q.headers.authorization || '';
  const longer = mode().includes('longer') || (mode().includes('two') && path.startsWith('/other/'));
  const good = basic(longer ? 's3cr3t-and-longer' : 's3cr3t');
  const who = sent === good ? 'alice' : sent ? 'other' : 'nobody';
  fs.appendFileSync('log', `${q.method} ${q.url} ${who} ${q.headers['git-protocol'] || '-'} ${q.headers['content-encoding'] || '-'}\n`);
  fs.appendFileSync('fields', JSON.stringify(q.headers) + '\n');
  fs.appendFileSync('connections', `${q.socket.remotePort} ${who} ${path}\n`);
  // What a server says besides could be what it was sent.
  const say = (status, fields, text) => {
    q.resume();
    if (q.httpVersion === '1.1' && mode().includes('close')) fields.connection = 'close';
    r.writeHead(status, { 'x-echo': sent, 'set-cookie': 'echo=' + sent, ...fields });
    r.end(text || `you sent ${sent}\n`);
  };
  if (path.startsWith('/moved/')) return say(301, { location: '/acme/' + q.url.slice(7) });
  if (path.startsWith('/hidden/')) return say(301, { location: `https://forge.test/other/${q.url.slice(8)}` });
  if (path.startsWith('/away/')) return say(302, { location: `https://evil.test/acme/${q.url.slice(6)}` });
  if (path.startsWith('/plain/')) return say(302, { location: `http://forge.test/acme/${q.url.slice(7)}` });
  if (path.startsWith('/round/')) return say(307, { location: q.url });
  if (mode().includes('forbidden')) return say(403, {});
  if (mode().includes('held') && q.method === 'POST') {
    const held = change => fs.writeFileSync('held', String(count += change));
    held(1);
    (q.stream ? q.stream.session : q.socket).once('close', () => held(-1));
    return q.resume();
  }
  if (mode().includes('broken')) return say(500, { 'content-type': 'text/html' });
  if (mode().includes('page')) return say(200, { 'content-type': 'text/html' });
  const expired = mode().includes('expired') && !path.startsWith('/public/');
  if (expired || (!path.startsWith('/public/') && who !== 'alice')) return say(401, { 'www-authenticate': 'Basic realm="forge"' });
  const env = {
    PATH: process.env.PATH, HOME: root, GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', GIT_CONFIG_NOSYSTEM: '1',
    REMOTE_ADDR: '127.0.0.1', REQUEST_METHOD: q.method, PATH_INFO: decodeURIComponent(path), QUERY_STRING: query,
    CONTENT_TYPE: q.headers['content-type'] || '', HTTP_CONTENT_ENCODING: q.headers['content-encoding'] || '',
    GIT_PROTOCOL: q.headers['git-protocol'] || '',
  };
  if (who === 'alice') env.REMOTE_USER = 'alice';
  const cgi = spawn('git', ['http-backend'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  cgi.stdin.on('error', () => {});
  q.pipe(cgi.stdin);
  let head = Buffer.alloc(0);
  const first = data => {
    head = Buffer.concat([head, data]);
    const at = head.indexOf('\r\n\r\n');
    if (at < 0) return;
    cgi.stdout.off('data', first);
    const fields = {};
    let status = 200;
    for (const line of head.subarray(0, at).toString().split('\r\n')) {
      const [name, ...rest] = line.split(': ');
      if (name === 'Status') status = parseInt(rest[0]); else fields[name.toLowerCase()] = rest.join(': ');
    }
    r.writeHead(status, fields);
    r.write(head.subarray(at + 4));
    cgi.stdout.pipe(r);
  };
  cgi.stdout.on('data', first);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
