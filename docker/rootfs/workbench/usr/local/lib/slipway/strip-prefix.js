// Loaded before code-server, which serves below a path only where the proxy before it takes that path from the address.
// Its pages name each other by relative addresses, so only what comes in need be changed.
"use strict";
const { Server } = require("http");

const prefix = process.env.NB_PREFIX.replace(/\/+$/, "");
const emit = Server.prototype.emit;

Server.prototype.emit = function (event, request, ...rest) {
    if (prefix && (event === "request" || event === "upgrade") && request.url.startsWith(prefix)) {
        const path = request.url.slice(prefix.length);
        if (event === "request" && /^($|\?)/.test(path)) {
            // Relative addresses of the page need the slash.
            rest[0].writeHead(302, { Location: `${prefix}/${path}` }).end();
            return true;
        }
        if (path.startsWith("/")) request.url = path;
    }
    return emit.call(this, event, request, ...rest);
};
