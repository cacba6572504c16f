import FoundationEssentials

/// What shows a registry who is asking. Prints as its kind only, so that no log or error can hold a secret.
enum Credential: Hashable, Sendable {
    case password(user: String, secret: String)
    /// An OAuth refresh token, exchanged for access tokens.
    case identityToken(String)
    /// A bearer token to be used as it is.
    case registryToken(String)

    /// The value of an `Authorization` header with Basic; nil where the credential is of another kind.
    var basic: String? {
        guard case .password(let user, let secret) = self else { return nil }
        return "Basic " + Data("\(user):\(secret)".utf8).base64EncodedString()
    }
}

extension Credential: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    var description: String {
        switch self {
        case .password: "a user name and password"
        case .identityToken: "an identity token"
        case .registryToken: "a registry token"
        }
    }

    var debugDescription: String { description }
    var customMirror: Mirror { Mirror(self, children: []) }
}
