"""How the page is served: addresses, connections, bodies, streams, sign-in, and the end of the process."""
