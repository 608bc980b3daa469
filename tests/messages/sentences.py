"""The first line of each built-in message about a sample, in each language."""

SENTENCES: dict[str, dict[str, str]] = {
    "create-comment-thread": {
        "en": "Ada Lovelace commented on Landing page · Page 1 · #15",
        "es": "Ada Lovelace comentó en Landing page · Page 1 · #15",
        "de": "Ada Lovelace hat in Landing page kommentiert · Page 1 · #15",
        "fr": "Ada Lovelace a commenté Landing page · Page 1 · #15",
    },
    "create-comment": {
        "en": "Ada Lovelace replied to “Is the hero too dark?” on Landing page · Page 1 · #15",
        "es": "Ada Lovelace respondió a «Is the hero too dark?» en Landing page · Page 1 · #15",
        "de": "Ada Lovelace hat in Landing page auf „Is the hero too dark?“ geantwortet · Page 1 · #15",  # noqa: E501
        "fr": "Ada Lovelace a répondu à «\u00a0Is the hero too dark?\u00a0» sur Landing page · Page 1 · #15",  # noqa: E501
    },
    "create-file": {
        "en": "Ada Lovelace created the file Landing page in Website",
        "es": "Ada Lovelace creó el archivo Landing page en Website",
        "de": "Ada Lovelace hat die Datei Landing page in Website erstellt",
        "fr": "Ada Lovelace a créé le fichier Landing page dans Website",
    },
    "rename-file": {
        "en": "Ada Lovelace renamed the file Old name to Landing page in Website",
        "es": "Ada Lovelace renombró el archivo Old name como Landing page en Website",
        "de": "Ada Lovelace hat die Datei Old name in Landing page umbenannt (Website)",
        "fr": "Ada Lovelace a renommé le fichier Old name en Landing page dans Website",
    },
    "delete-file": {
        "en": "Ada Lovelace deleted the file Landing page in Website",
        "es": "Ada Lovelace eliminó el archivo Landing page de Website",
        "de": "Ada Lovelace hat die Datei Landing page in Website gelöscht",
        "fr": "Ada Lovelace a supprimé le fichier Landing page du projet Website",
    },
    "update-file": {
        "en": "Ada Lovelace worked on Landing page in Website",
        "es": "Ada Lovelace trabajó en el archivo Landing page de Website",
        "de": "Ada Lovelace hat an Landing page in Website gearbeitet",
        "fr": "Ada Lovelace a travaillé sur Landing page dans Website",
    },
    "create-project": {
        "en": "Ada Lovelace created the project Website",
        "es": "Ada Lovelace creó el proyecto Website",
        "de": "Ada Lovelace hat das Projekt Website erstellt",
        "fr": "Ada Lovelace a créé le projet Website",
    },
    "rename-project": {
        "en": "Ada Lovelace renamed the project Old name to Website",
        "es": "Ada Lovelace renombró el proyecto Old name como Website",
        "de": "Ada Lovelace hat das Projekt Old name in Website umbenannt",
        "fr": "Ada Lovelace a renommé le projet Old name en Website",
    },
    "delete-project": {
        "en": "Ada Lovelace deleted the project Website",
        "es": "Ada Lovelace eliminó el proyecto Website",
        "de": "Ada Lovelace hat das Projekt Website gelöscht",
        "fr": "Ada Lovelace a supprimé le projet Website",
    },
    "update-project-pin": {
        "en": "Ada Lovelace pinned the project Website",
        "es": "Ada Lovelace ancló el proyecto Website",
        "de": "Ada Lovelace hat das Projekt Website angeheftet",
        "fr": "Ada Lovelace a épinglé le projet Website",
    },
    "set-file-shared": {
        "en": "Ada Lovelace stopped sharing the file Landing page as a library",
        "es": "Ada Lovelace dejó de compartir el archivo Landing page como biblioteca",
        "de": "Ada Lovelace gibt die Datei Landing page nicht mehr als Bibliothek frei",
        "fr": "Ada Lovelace a cessé de partager le fichier Landing page en tant que bibliothèque",
    },
    "link-file-to-library": {
        "en": "Ada Lovelace connected the file Landing page to the library UI kit",
        "es": "Ada Lovelace conectó el archivo Landing page a la biblioteca UI kit",
        "de": "Ada Lovelace hat die Datei Landing page mit der Bibliothek UI kit verbunden",
        "fr": "Ada Lovelace a connecté le fichier Landing page à la bibliothèque UI kit",
    },
    "unlink-file-from-library": {
        "en": "Ada Lovelace disconnected the file Landing page from the library UI kit",
        "es": "Ada Lovelace desconectó el archivo Landing page de la biblioteca UI kit",
        "de": "Ada Lovelace hat die Datei Landing page von der Bibliothek UI kit getrennt",
        "fr": "Ada Lovelace a déconnecté le fichier Landing page de la bibliothèque UI kit",
    },
    "create-font-variant": {
        "en": "Ada Lovelace uploaded the font Inter Bold Italic",
        "es": "Ada Lovelace subió la fuente Inter Bold Italic",
        "de": "Ada Lovelace hat die Schriftart Inter Bold Italic hochgeladen",
        "fr": "Ada Lovelace a ajouté la police Inter Bold Italic",
    },
    "update-font": {
        "en": "Ada Lovelace renamed the font Old name to Inter",
        "es": "Ada Lovelace renombró la fuente Old name como Inter",
        "de": "Ada Lovelace hat die Schriftart Old name in Inter umbenannt",
        "fr": "Ada Lovelace a renommé la police Old name en Inter",
    },
    "delete-font": {
        "en": "Ada Lovelace deleted the font Inter",
        "es": "Ada Lovelace eliminó la fuente Inter",
        "de": "Ada Lovelace hat die Schriftart Inter gelöscht",
        "fr": "Ada Lovelace a supprimé la police Inter",
    },
    "delete-font-variant": {
        "en": "Ada Lovelace deleted a variant of the font Inter",
        "es": "Ada Lovelace eliminó un estilo de la fuente Inter",
        "de": "Ada Lovelace hat einen Stil der Schriftart Inter gelöscht",
        "fr": "Ada Lovelace a supprimé un style de la police Inter",
    },
    "duplicate-file": {
        "en": "Ada Lovelace duplicated the file Old name as Landing page in Website",
        "es": "Ada Lovelace duplicó el archivo Old name como Landing page en Website",
        "de": "Ada Lovelace hat die Datei Old name als Landing page in Website dupliziert",
        "fr": "Ada Lovelace a dupliqué le fichier Old name sous le nom Landing page dans Website",
    },
    "duplicate-project": {
        "en": "Ada Lovelace duplicated the project Old name as Website",
        "es": "Ada Lovelace duplicó el proyecto Old name como Website",
        "de": "Ada Lovelace hat das Projekt Old name als Website dupliziert",
        "fr": "Ada Lovelace a dupliqué le projet Old name sous le nom Website",
    },
    "move-files": {
        "en": "Ada Lovelace moved 3 files to Website",
        "es": "Ada Lovelace movió 3 archivos a Website",
        "de": "Ada Lovelace hat 3 Dateien nach Website verschoben",
        "fr": "Ada Lovelace a déplacé 3 fichiers vers Website",
    },
    "move-project": {
        "en": "Ada Lovelace moved the project Website to Acme",
        "es": "Ada Lovelace movió el proyecto Website al equipo Acme",
        "de": "Ada Lovelace hat das Projekt Website in das Team Acme verschoben",
        "fr": "Ada Lovelace a déplacé le projet Website vers l’équipe Acme",
    },
    "clone-template": {
        "en": "Ada Lovelace is adding the template Old name to Website",
        "es": "Ada Lovelace está añadiendo la plantilla Old name a Website",
        "de": "Ada Lovelace fügt die Vorlage Old name zum Projekt Website hinzu",
        "fr": "Ada Lovelace ajoute le modèle Old name au projet Website",
    },
    "import-binfile": {
        "en": "Ada Lovelace is importing 3 files into Website",
        "es": "Ada Lovelace está importando 3 archivos en Website",
        "de": "Ada Lovelace importiert 3 Dateien in Website",
        "fr": "Ada Lovelace importe 3 fichiers dans Website",
    },
    "export-binfile": {
        "en": "Ada Lovelace is exporting the file Landing page in Website",
        "es": "Ada Lovelace está exportando el archivo Landing page de Website",
        "de": "Ada Lovelace exportiert die Datei Landing page aus Website",
        "fr": "Ada Lovelace exporte le fichier Landing page du projet Website",
    },
    "resolve-comment-thread": {
        "en": "✓ Resolved · Landing page · Page 1 · #15",
        "es": "✓ Resuelto · Landing page · Page 1 · #15",
        "de": "✓ Gelöst · Landing page · Page 1 · #15",
        "fr": "✓ Résolu · Landing page · Page 1 · #15",
    },
    "reopen-comment-thread": {
        "en": "↺ Reopened · Landing page · Page 1 · #15",
        "es": "↺ Reabierto · Landing page · Page 1 · #15",
        "de": "↺ Wieder geöffnet · Landing page · Page 1 · #15",
        "fr": "↺ Rouvert · Landing page · Page 1 · #15",
    },
    "delete-comment-thread": {
        "en": "Ada Lovelace deleted the thread #15 on Landing page · Page 1",
        "es": "Ada Lovelace eliminó el hilo #15 de Landing page · Page 1",
        "de": "Ada Lovelace hat den Thread #15 in Landing page gelöscht · Page 1",
        "fr": "Ada Lovelace a supprimé le fil #15 sur Landing page · Page 1",
    },
    "update-comment": {
        "en": "Ada Lovelace edited a comment on Landing page · Page 1 · #15",
        "es": "Ada Lovelace editó un comentario en Landing page · Page 1 · #15",
        "de": "Ada Lovelace hat einen Kommentar in Landing page bearbeitet · Page 1 · #15",
        "fr": "Ada Lovelace a modifié un commentaire sur Landing page · Page 1 · #15",
    },
    "delete-comment": {
        "en": "Ada Lovelace deleted a comment on Landing page · Page 1 · #15",
        "es": "Ada Lovelace eliminó un comentario de Landing page · Page 1 · #15",
        "de": "Ada Lovelace hat einen Kommentar in Landing page gelöscht · Page 1 · #15",
        "fr": "Ada Lovelace a supprimé un commentaire sur Landing page · Page 1 · #15",
    },
    "queue-stopped": {
        "en": "⚠️ Messages to design have stopped: the bot is not in #design (not_in_channel). They wait and are sent once this is fixed.",  # noqa: E501
        "es": "⚠️ El envío a design se ha detenido: the bot is not in #design (not_in_channel). Los mensajes esperan y se enviarán en cuanto se resuelva.",  # noqa: E501
        "de": "⚠️ Der Versand an design ist gestoppt: the bot is not in #design (not_in_channel). Die Nachrichten warten und werden gesendet, sobald das behoben ist.",  # noqa: E501
        "fr": "⚠️ L’envoi vers design est arrêté\u00a0: the bot is not in #design (not_in_channel). Les messages sont en attente et partiront une fois le problème résolu.",  # noqa: E501
    },
    "queue-running": {
        "en": "✅ Messages to design are sent again.",
        "es": "✅ El envío a design se ha reanudado.",
        "de": "✅ Der Versand an design läuft wieder.",
        "fr": "✅ L’envoi vers design a repris.",
    },
    "messages-dead": {
        "en": "⚠️ 2 messages to design could not be delivered. The last one: the message is too long (msg_too_long). relay log --state dead and the inspector list what is dead: resend or dismiss it there.",  # noqa: E501
        "es": "⚠️ No se pudieron entregar 2 mensajes a design. El último: the message is too long (msg_too_long). relay log --state dead y el inspector muestran los mensajes sin entregar: desde ahí puedes reenviarlos o descartarlos.",  # noqa: E501
        "de": "⚠️ 2 Nachrichten an design konnten nicht zugestellt werden. Die letzte: the message is too long (msg_too_long). relay log --state dead und der Inspector listen auf, was nicht zugestellt wurde: dort erneut senden oder verwerfen.",  # noqa: E501
        "fr": "⚠️ 2 messages pour design n’ont pas pu être remis. Le dernier\u00a0: the message is too long (msg_too_long). relay log --state dead et l’inspecteur affichent les messages non remis\u00a0: vous pouvez les y renvoyer ou les écarter.",  # noqa: E501
    },
    "messages-skipped": {
        "en": "⚠️ Messages to design are skipped: project not known yet. A filter of the channel needs a name from Penpot, which did not answer for 15 minutes; relay doctor checks whether it does. relay log --state skipped and the inspector list the messages: send again what belongs there.",  # noqa: E501
        "es": "⚠️ Se omiten mensajes a design: project not known yet. Un filtro del canal necesita un nombre de Penpot, que no respondió durante 15 minutos; relay doctor comprueba si responde. relay log --state skipped y el inspector muestran los mensajes: reenvía desde ahí los que correspondan.",  # noqa: E501
        "de": "⚠️ Nachrichten an design werden übersprungen: project not known yet. Ein Filter des Kanals braucht einen Namen von Penpot, das 15 Minuten lang nicht geantwortet hat; relay doctor prüft, ob es antwortet. relay log --state skipped und der Inspector listen die Nachrichten auf: dort erneut senden, was in den Kanal gehört.",  # noqa: E501
        "fr": "⚠️ Des messages pour design sont ignorés\u00a0: project not known yet. Un filtre du canal a besoin d’un nom de Penpot, qui n’a pas répondu pendant 15 minutes\u202f; relay doctor vérifie s’il répond. relay log --state skipped et l’inspecteur affichent les messages\u00a0: renvoyez ceux qui ont leur place dans le canal.",  # noqa: E501
    },
    "webhook-switched-on": {
        "en": "🔌 Penpot's webhook was off and is on again. It was off because Relay did not answer in time. Comments that were missed follow.",  # noqa: E501
        "es": "🔌 El webhook de Penpot estaba desactivado y vuelve a estar activo. Causa: Relay no respondió a tiempo. A continuación llegarán los comentarios que faltan.",  # noqa: E501
        "de": "🔌 Der Webhook von Penpot war aus und ist wieder an. Grund: Relay hat nicht rechtzeitig geantwortet. Verpasste Kommentare folgen.",  # noqa: E501
        "fr": "🔌 Le webhook de Penpot était désactivé et fonctionne à nouveau. Cause\u00a0: Relay n’a pas répondu à temps. Les commentaires manqués suivent.",  # noqa: E501
    },
    "webhook-listed-twice": {
        "en": "⚠️ More than one Penpot team lists this team's webhook: events of the others arrive here too. Relay reads only the team that it found first. relay doctor names the teams: remove the webhook from the others, or set team_id.",  # noqa: E501
        "es": "⚠️ Más de un equipo de Penpot tiene el webhook de este equipo: aquí también llegan eventos de los demás. Relay solo lee el equipo que encontró primero. relay doctor indica cuáles son: quita el webhook de los demás o define team_id.",  # noqa: E501
        "de": "⚠️ Mehr als ein Penpot-Team nutzt den Webhook dieses Teams: Ereignisse der anderen kommen auch hier an. Relay liest nur das zuerst gefundene Team. relay doctor nennt die Teams: den Webhook bei den anderen entfernen oder team_id setzen.",  # noqa: E501
        "fr": "⚠️ Plusieurs équipes Penpot utilisent le webhook de cette équipe\u00a0: les événements des autres arrivent ici aussi. Relay ne lit que la première équipe trouvée. relay doctor indique lesquelles\u00a0: retirez-en le webhook ou définissez team_id.",  # noqa: E501
    },
    "disk-full": {
        "en": "⚠️ Relay refuses events of this team: they have used up its share of the disk (500 MB). Set a larger max_disk, or a shorter retention. Comments that were missed follow if Relay has an access token; other events are lost.",  # noqa: E501
        "es": "⚠️ Relay rechaza eventos de este equipo: han agotado su parte del disco (500 MB). Aumenta max_disk o reduce el tiempo de conservación. Los comentarios que falten llegarán después si Relay tiene un token de acceso; los demás eventos se pierden.",  # noqa: E501
        "de": "⚠️ Relay lehnt Ereignisse ab: Der Anteil dieses Teams an der Festplatte (500 MB) ist aufgebraucht. max_disk vergrößern oder eine kürzere Aufbewahrung einstellen. Verpasste Kommentare folgen, wenn Relay ein Zugriffstoken hat; andere Ereignisse gehen verloren.",  # noqa: E501
        "fr": "⚠️ Relay refuse les événements de cette équipe\u00a0: sa part du disque (500 MB) est épuisée. Augmentez max_disk ou raccourcissez la durée de conservation. Les commentaires manqués suivront si Relay dispose d’un jeton d’accès\u202f; les autres événements sont perdus.",  # noqa: E501
    },
    "activity": {
        "en": "✏️ Ada Lovelace and Grace Hopper worked on Landing page in Website · 5 times, last at 15:00 UTC · renamed from Start page",  # noqa: E501
        "es": "✏️ Ada Lovelace y Grace Hopper trabajaron en el archivo Landing page de Website · 5 veces, la última: 15:00 UTC · nombre anterior: Start page",  # noqa: E501
        "de": "✏️ Ada Lovelace und Grace Hopper haben an Landing page in Website gearbeitet · 5 Mal, zuletzt um 15:00 UTC · früherer Name: Start page",  # noqa: E501
        "fr": "✏️ Ada Lovelace et Grace Hopper ont travaillé sur Landing page dans Website · 5 fois, la dernière à 15:00 UTC · ancien nom\u00a0: Start page",  # noqa: E501
    },
    "test": {
        "en": "A test from Relay",
        "es": "Una prueba de Relay",
        "de": "Ein Test von Relay",
        "fr": "Un test de Relay",
    },
    "digest": {
        "en": "2 comments and 1 other event on Landing page · Ada Lovelace and Grace Hopper",
        "es": "2 comentarios y 1 evento más en Landing page · Ada Lovelace y Grace Hopper",
        "de": "2 Kommentare und 1 weiteres Ereignis in Landing page · Ada Lovelace und Grace Hopper",  # noqa: E501
        "fr": "2 commentaires et 1 autre événement sur Landing page · Ada Lovelace et Grace Hopper",
    },
}
