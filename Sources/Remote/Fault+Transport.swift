import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

extension Fault {
    /// What an error of the HTTP library means for whoever asked `origin`.
    init(transport error: any Error, origin: Address.Origin) {
        switch error {
        case is CancellationError:
            self = .cancelled
        case let error as HTTPClientError:
            self.init(client: error, origin: origin)
        case let error as NIOConnectionError:
            self.init(connection: error, origin: origin)
        case is NIOSSLError, is BoringSSLError, is NIOSSLExtraError:
            self.init(handshake: "\(error)", origin: origin)
        case let error as IOError where [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH].contains(error.errnoCode):
            self.init(.unreachable, "\(origin) cannot be connected to: \(String(cString: strerror(error.errnoCode)))",
                remedy: error.errnoCode == ECONNREFUSED ? .backOff : .none, isHostDown: true)
        default:
            self.init(.unreachable, "\(origin) broke the connection (\(type(of: error)))", remedy: .backOff)
        }
    }

    private init(client error: HTTPClientError, origin: Address.Origin) {
        switch error {
        case .cancelled, .alreadyShutdown:
            self = .cancelled
        case .readTimeout, .deadlineExceeded:
            self.init(.stalled, "\(origin) stopped sending", remedy: .backOff)
        case .connectTimeout, .getConnectionFromPoolTimeout:
            // The wait was long already; another would make a reader wait for what is most likely down.
            self.init(.unreachable, "\(origin) does not answer", isHostDown: true)
        case .tlsHandshakeTimeout:
            self.init(.unreachable, "\(origin) does not answer a TLS handshake; if it speaks plain HTTP, set plainHTTP for it", isHostDown: true)
        case .proxyAuthenticationRequired:
            self.init(.configuration, "the proxy on the way to \(origin) asks for a login; put one into the proxy variable as http://USER:PASSWORD@HOST:PORT")
        case .invalidProxyResponse, .httpProxyHandshakeTimeout, .socksHandshakeTimeout:
            self.init(.unreachable, "the proxy on the way to \(origin) does not let the request through", remedy: .none)
        case .remoteConnectionClosed, .uncleanShutdown, .requestStreamCancelled:
            self.init(.unreachable, "\(origin) broke the connection", remedy: .backOff)
        case .invalidURL, .emptyHost, .emptyScheme:
            self.init(.badAnswer(status: nil), "a URL on \(origin) that cannot be used")
        default:
            self.init(.unreachable, "\(origin): \(error.shortDescription)", remedy: .backOff)
        }
    }

    private init(connection error: NIOConnectionError, origin: Address.Origin) {
        if error.connectionErrors.isEmpty {
            self.init(.unreachable, "the name \(origin.host) cannot be resolved", isHostDown: true)
            return
        }
        let codes = error.connectionErrors.compactMap { ($0.error as? IOError)?.errnoCode }
        let isTimeout = error.connectionErrors.contains { if case .connectTimeout? = $0.error as? ChannelError { true } else { false } }
        if isTimeout {
            self.init(.unreachable, "\(origin) does not answer", isHostDown: true)
        } else {
            let reason = codes.first.map { String(cString: strerror($0)) } ?? "no address works"
            self.init(.unreachable, "\(origin) cannot be connected to: \(reason)", remedy: codes.contains(ECONNREFUSED) ? .backOff : .none, isHostDown: true)
        }
    }

    private init(handshake text: String, origin: Address.Origin) {
        if text.contains("WRONG_VERSION_NUMBER") || text.contains("HTTP_REQUEST") || text.contains("PACKET_LENGTH_TOO_LONG") {
            self.init(.unreachable, "\(origin) speaks plain HTTP where TLS was expected; set plainHTTP for \(origin.authority)")
        } else if text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("ostname") {
            self.init(.unreachable, "the certificate of \(origin) is not trusted; if it is right, name its authority as caFile for \(origin.authority)")
        } else if text.contains("CERTIFICATE_REQUIRED") || text.contains("BAD_CERTIFICATE") || text.contains("UNKNOWN_CA") {
            self.init(.unauthorized, "\(origin) asks for another client certificate; set clientCertificate and clientKey for \(origin.authority)")
        } else if text.contains("uncleanShutdown") {
            self.init(.unreachable, "\(origin) broke the connection", remedy: .backOff)
        } else {
            self.init(.unreachable, "no TLS with \(origin): \(text.prefix(200))", remedy: .backOff)
        }
    }
}
